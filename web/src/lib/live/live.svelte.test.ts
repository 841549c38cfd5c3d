import { flushSync } from 'svelte';
import { describe, expect, it } from 'vitest';
import type { Alert, Server } from '$lib/api/types';
import { anAlert, aServer, someStats } from '$lib/testing';
import { Fleet } from './fleet.svelte';
import { backoff, readMessage, type DeltaMessage } from './messages';

const at = '2026-11-22T08:00:00.000Z';

function begun(servers: Server[], alerts: Alert[] = []): Fleet {
  const fleet = new Fleet();
  fleet.initial({ type: 'initial', stats: someStats, servers, alerts, timestamp: at });
  return fleet;
}

function delta(change: Partial<DeltaMessage>): DeltaMessage {
  return { type: 'delta', stats: someStats, servers: [], removed: [], alerts: [], timestamp: at, ...change };
}

/** Counts how often `read` is run again because something it read has changed. */
function counting(read: () => unknown): { count: () => number; stop: () => void } {
  let runs = 0;
  const stop = $effect.root(() => {
    $effect(() => {
      read();
      runs += 1;
    });
  });
  flushSync();
  return {
    count: () => {
      flushSync();
      return runs - 1;
    },
    stop,
  };
}

describe('messages', () => {
  it('that are none are left out', () => {
    for (const text of [
      '',
      'hello',
      '[]',
      'null',
      '{}',
      '{"type":"party"}',
      '{"type":"initial"}',
      '{"type":"snapshot"}',
    ]) {
      expect(readMessage(text), text).toBeNull();
    }
    expect(readMessage('pong')).toEqual({ type: 'pong' });
  });

  it('may leave out what did not change', () => {
    expect(readMessage('{"type":"delta","stats":{},"timestamp":"x"}')).toMatchObject({
      servers: [],
      removed: [],
      alerts: [],
    });
  });
});

describe('back-off', () => {
  it('doubles up to half a minute, and leaves half to chance', () => {
    expect([1, 2, 3, 7, 50].map((attempt) => backoff(attempt, 1))).toEqual([500, 1000, 2000, 30_000, 30_000]);
    expect(backoff(3, 0)).toBe(1000);
  });
});

describe('the fleet', () => {
  it('takes the full state, and drops what is not in it', () => {
    const fleet = begun([aServer(1), aServer(2)], [anAlert(5)]);
    fleet.initial({
      type: 'initial',
      stats: someStats,
      servers: [aServer(2), aServer(3)],
      alerts: [],
      timestamp: at,
    });
    expect(fleet.servers().map((server) => server.id)).toEqual([2, 3]);
    expect(fleet.alerts.size).toBe(0);
    expect(fleet.cell(1)).toBeUndefined();
  });

  it('keeps the cell of a server through changes, so that its row stays', () => {
    const fleet = begun([aServer(1)]);
    const cell = fleet.cell(1);
    fleet.delta(delta({ servers: [aServer(1, { name: 'renamed' })] }));
    expect(fleet.cell(1)).toBe(cell);
    expect(cell?.server.name).toBe('renamed');
  });

  it('wakes only who shows a changed server', () => {
    const fleet = begun([aServer(1), aServer(2)]);
    const one = counting(() => fleet.cell(1)?.server);
    const two = counting(() => fleet.cell(2)?.server);
    const members = counting(() => fleet.cells());
    fleet.delta(delta({ servers: [aServer(1)] }));
    expect([one.count(), two.count(), members.count()]).toEqual([1, 0, 0]);
    fleet.delta(delta({ servers: [aServer(3)] }));
    expect(members.count()).toBe(1);
    fleet.delta(delta({ removed: [2] }));
    expect(members.count()).toBe(2);
    for (const watcher of [one, two, members]) watcher.stop();
  });

  it('forgets the alerts of a server that is removed', () => {
    const fleet = begun([aServer(1), aServer(2)], [anAlert(5), anAlert(6, { server_id: 2 })]);
    fleet.delta(delta({ removed: [1] }));
    expect([...fleet.alerts.keys()]).toEqual([6]);
  });

  it('drops an alert when it is resolved', () => {
    const fleet = begun([aServer(1)], [anAlert(5)]);
    fleet.delta(delta({ alerts: [anAlert(5, { resolved: true })] }));
    expect(fleet.alerts.size).toBe(0);
  });
});

describe('the news of a critical alert', () => {
  function told(fleet: Fleet): number[][] {
    const calls: number[][] = [];
    fleet.onCritical((alerts) => calls.push(alerts.map((alert) => alert.id)));
    return calls;
  }

  it('is told once, when it fires and when a warning becomes critical', () => {
    const fleet = begun([aServer(1)], [anAlert(1)]);
    const calls = told(fleet);
    fleet.delta(delta({ alerts: [anAlert(2)] }));
    fleet.delta(delta({ alerts: [anAlert(1, { level: 'critical' }), anAlert(3, { level: 'critical' })] }));
    fleet.delta(delta({ alerts: [anAlert(3, { level: 'critical', params: { value_permille: 990 } })] }));
    expect(calls).toEqual([[1, 3]]);
  });

  it('is no news when the page opens, but is after a pause', () => {
    const fleet = new Fleet();
    const calls = told(fleet);
    const initial = (alerts: Alert[]) =>
      fleet.initial({ type: 'initial', stats: someStats, servers: [aServer(1)], alerts, timestamp: at });
    initial([anAlert(1, { level: 'critical' })]);
    expect(calls).toEqual([]);
    initial([anAlert(1, { level: 'critical' }), anAlert(2, { level: 'critical' })]);
    expect(calls).toEqual([[2]]);
  });
});
