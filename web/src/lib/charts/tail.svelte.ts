// The live end of the charts: the snapshots of a watched server as they come, second by second.

import type { Snapshot } from '$lib/api/types';
import type { SnapshotMessage } from '$lib/live/messages';
import { liveValues } from './catalogue';
import type { TailPoint } from './data';

const keep = 3_700_000;

/** Lays `newer` over `older`: a section that was not read keeps its value. */
export function overlay(older: Snapshot | null, newer: Snapshot): Snapshot {
  if (older === null) return newer;
  const merged = { ...older } as Record<string, unknown>;
  for (const [section, value] of Object.entries(newer)) {
    if (value !== null) merged[section] = value;
  }
  return merged as unknown as Snapshot;
}

export class Tail {
  /** The newest value of every section. */
  snapshot = $state.raw<Snapshot | null>(null);
  takenAt = $state<number | null>(null);
  /** The live points, oldest first. Replaced, never changed. */
  points = $state.raw<readonly TailPoint[]>([]);

  /** Where the page begins: the newest state the hub holds. */
  begin(snapshot: Snapshot | null, takenAt: string | null): void {
    if (snapshot === null || this.snapshot !== null) return;
    this.snapshot = snapshot;
    this.takenAt = takenAt === null ? null : Date.parse(takenAt);
  }

  take(message: Pick<SnapshotMessage, 'snapshot'> & { taken_at: string | null }): void {
    this.snapshot = overlay(this.snapshot, message.snapshot);
    if (message.taken_at === null) return;
    const at = Date.parse(message.taken_at);
    this.takenAt = at;
    const last = this.points.at(-1);
    if (last && at <= last.at) return;
    const values = liveValues(message.snapshot);
    const first = this.points.findIndex((point) => point.at >= at - keep);
    this.points = [...(first > 0 ? this.points.slice(first) : this.points), { at, values }];
  }
}
