// What the hub says over the WebSocket, and the one place that reads it.

import type { Alert, Server, Snapshot, Stats } from '$lib/api/types';

export interface InitialMessage {
  type: 'initial';
  stats: Stats;
  servers: Server[];
  alerts: Alert[];
  timestamp: string;
}

export interface DeltaMessage {
  type: 'delta';
  stats: Stats;
  servers: Server[];
  removed: number[];
  alerts: Alert[];
  timestamp: string;
}

/** The newest values of a watched server; a section that was not read is null. */
export interface SnapshotMessage {
  type: 'snapshot';
  server_id: number;
  taken_at: string;
  snapshot: Snapshot;
}

export type Message = InitialMessage | DeltaMessage | SnapshotMessage | { type: 'pong' };

/** Reads one message; null for one this page does not know (a newer hub may say more). */
export function readMessage(text: string): Message | null {
  if (text === 'pong') return { type: 'pong' };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const message = value as Partial<Record<string, unknown>>;
  switch (message.type) {
    case 'initial':
      if (!Array.isArray(message.servers)) return null;
      return { alerts: [], ...message } as unknown as InitialMessage;
    case 'delta':
      return { servers: [], removed: [], alerts: [], ...message } as unknown as DeltaMessage;
    case 'snapshot':
      return typeof message.server_id === 'number' ? (message as unknown as SnapshotMessage) : null;
    case 'pong':
      return { type: 'pong' };
    default:
      return null;
  }
}

/** Milliseconds to wait before try number `attempt` (from 1): doubling from 0.5 s to 30 s, half of it by chance. */
export function backoff(attempt: number, random: number): number {
  const ceiling = Math.min(30_000, 500 * 2 ** Math.min(attempt - 1, 10));
  return Math.round(ceiling / 2 + (ceiling / 2) * random);
}
