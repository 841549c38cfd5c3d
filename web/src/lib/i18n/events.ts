// The details of an event in words: what the hub put into them, errors in the reader's language.

import type { CollectError, Event } from '$lib/api/types';
import { collectMessage } from './errors';

/** The details on one line; empty when there are none. */
export function eventDetails(event: Pick<Event, 'details'>): string {
  const { details } = event;
  if (typeof details !== 'object' || details === null) return '';
  const values = details as Record<string, unknown>;
  if (typeof values.code === 'string' && typeof values.message === 'string') {
    return collectMessage({ params: {}, ...values } as unknown as CollectError);
  }
  return Object.entries(values)
    .map(([name, value]) => [name, written(value)] as const)
    .filter(([, value]) => value !== '')
    .map(([name, value]) =>
      name === 'name' || name === 'fingerprint' ? value : `${name.replaceAll('_', ' ')}: ${value}`,
    )
    .join(' · ');
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
