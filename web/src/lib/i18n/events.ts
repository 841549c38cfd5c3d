// The details of an event in words, in the reader's language where the hub's values are known.

import type { CollectError, Event } from '$lib/api/types';
import { collectMessage } from './errors';
import { i18n } from './index.svelte';

/** The details on one line; empty when there are none. */
export function eventDetails(event: Pick<Event, 'details'>): string {
  const { details } = event;
  if (typeof details !== 'object' || details === null) return '';
  const values = details as Record<string, unknown>;
  if (typeof values.code === 'string' && typeof values.message === 'string') {
    return collectMessage({ params: {}, ...values } as unknown as CollectError);
  }
  return Object.entries(values)
    .map(([name, value]) => piece(name, value))
    .filter(Boolean)
    .join(' · ');
}

function piece(name: string, value: unknown): string {
  const { t, format } = i18n;
  const words = t.events.parts;
  if (value === null || value === undefined || value === '') return '';
  switch (name) {
    case 'name':
    case 'fingerprint':
    case 'label':
    case 'address':
    case 'version':
    case 'reason':
    case 'bucket':
      return written(value);
    case 'alert_id':
    case 'algorithm':
      return '';
    case 'offline_ms':
      return typeof value === 'number' ? words.offlineFor(format.duration(value / 1000)) : '';
    case 'uptime_seconds':
      return typeof value === 'number' ? words.bootedBefore(format.duration(value)) : '';
    case 'samples':
      return typeof value === 'number' ? words.samples(format.number(value)) : '';
    case 'bytes':
      return typeof value === 'number' ? format.bytes(value) : '';
    case 'problems':
      return Array.isArray(value) ? written(value) : '';
    case 'before':
      return typeof value === 'string' ? words.before(format.dateTime(value)) : '';
    case 'from':
      return words.from(words.ways[String(value)] ?? written(value));
    case 'to':
      return words.to(words.ways[String(value)] ?? written(value));
    case 'why':
      return words.whys[String(value)] ?? written(value);
    case 'level':
      return t.level[value as 'warning'] ?? written(value);
    case 'type':
      return t.alerts.types[value as 'cpu'] ?? written(value);
    default:
      return `${name.replaceAll('_', ' ')}: ${written(value)}`;
  }
}

function written(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (Array.isArray(value)) return value.map(written).filter(Boolean).join(', ');
  if (typeof value === 'object') {
    const key = (value as Record<string, unknown>).fingerprint;
    return typeof key === 'string' ? key : JSON.stringify(value);
  }
  return String(value);
}
