import { describe, expect, it } from 'vitest';
import type { Latest } from '$lib/api/types';
import { filtered, natural, sorted, type Filter } from './fleet-order';
import { aServer } from './testing';
import { visibleRows } from './windowed.svelte';

const latest = (change: Partial<Latest>): Latest => ({ cpu_usage: null, ...change }) as Latest;
const names = (list: { name: string }[]) => list.map((server) => server.name);
const none: Filter = { text: '', status: '', tag: '', group: '' };

describe('the order', () => {
  it('counts numbers in names', () => {
    const servers = ['web-10', 'Web-2', 'web-1'].map((name, index) => aServer(index + 1, { name }));
    expect(names(sorted(servers, natural('name'), 'en'))).toEqual(['web-1', 'Web-2', 'web-10']);
  });

  it('puts trouble first, the worst before the rest', () => {
    const servers = [
      aServer(1, { name: 'paused', status: 'paused' }),
      aServer(2, { name: 'fine' }),
      aServer(3, { name: 'warned', active_alerts: { warning: 1, critical: 0 } }),
      aServer(4, { name: 'down', status: 'offline' }),
      aServer(5, { name: 'alarmed', active_alerts: { warning: 0, critical: 1 } }),
      aServer(6, { name: 'new', status: 'unknown' }),
    ];
    expect(names(sorted(servers, natural('problems'), 'en'))).toEqual([
      'down',
      'alarmed',
      'warned',
      'fine',
      'new',
      'paused',
    ]);
  });

  it('puts what has no figure last, whichever way round', () => {
    const servers = [
      aServer(1, { name: 'unknown' }),
      aServer(2, { name: 'low', latest: latest({ cpu_usage: 1 }) }),
      aServer(3, { name: 'high', latest: latest({ cpu_usage: 99 }) }),
    ];
    expect(names(sorted(servers, { by: 'cpu', descending: true }, 'en'))).toEqual(['high', 'low', 'unknown']);
    expect(names(sorted(servers, { by: 'cpu', descending: false }, 'en'))).toEqual([
      'low',
      'high',
      'unknown',
    ]);
  });
});

describe('the filters', () => {
  const servers = [
    aServer(1, { name: 'web-1', tags: ['eu'], group: 'shop', latest: latest({ os: 'Debian 12' }) }),
    aServer(2, { name: 'db-1', status: 'offline', active_alerts: { warning: 0, critical: 1 } }),
  ];

  it('find every word anywhere', () => {
    expect(names(filtered(servers, { ...none, text: 'debian WEB' }))).toEqual(['web-1']);
    expect(names(filtered(servers, { ...none, text: 'debian db' }))).toEqual([]);
    expect(names(filtered(servers, { ...none, text: '10.0.0.2' }))).toEqual(['db-1']);
  });

  it('go by status, alerts, tag, group and no group', () => {
    expect(names(filtered(servers, { ...none, status: 'offline' }))).toEqual(['db-1']);
    expect(names(filtered(servers, { ...none, status: 'alerts' }))).toEqual(['db-1']);
    expect(names(filtered(servers, { ...none, tag: 'eu' }))).toEqual(['web-1']);
    expect(names(filtered(servers, { ...none, group: 'shop' }))).toEqual(['web-1']);
    expect(names(filtered(servers, { ...none, group: '-' }))).toEqual(['db-1']);
  });
});

describe('the window onto a long list', () => {
  it('is a few rows more than fit, wherever one is', () => {
    expect(visibleRows(10_000, 50, 0, 1000, 5)).toEqual({ start: 0, end: 25 });
    expect(visibleRows(10_000, 50, 5000, 6000, 5)).toEqual({ start: 95, end: 125 });
    expect(visibleRows(10_000, 50, 499_500, 500_500, 5)).toEqual({ start: 9985, end: 10_000 });
  });

  it('is empty for an empty list and for one far away', () => {
    expect(visibleRows(0, 50, 0, 1000, 5)).toEqual({ start: 0, end: 0 });
    expect(visibleRows(3, 50, 90_000, 91_000, 5)).toEqual({ start: 3, end: 3 });
    expect(visibleRows(3, 50, -9000, -8000, 5)).toEqual({ start: 0, end: 0 });
  });
});
