// The one map of servers and of open alerts, as the hub's messages make it.
//
// Every server is a cell of its own: a message about 1,000 servers wakes only what shows
// those servers, and nothing twice.

import { SvelteMap } from 'svelte/reactivity';
import type { Alert, Server, Stats } from '$lib/api/types';
import type { DeltaMessage, InitialMessage } from './messages';

/** One server, replaced as a whole when it changes. */
export class ServerCell {
  server: Server = $state.raw() as Server;

  constructor(
    readonly id: number,
    server: Server,
  ) {
    this.server = server;
  }
}

export class Fleet {
  /** Whether the hub has told everything once. */
  loaded = $state(false);
  stats = $state.raw<Stats | null>(null);
  /** The hub's time of the newest message, in milliseconds since 1970. */
  updatedAt = $state<number | null>(null);
  /** Open alerts by id. */
  readonly alerts = new SvelteMap<number, Alert>();
  /** Counts messages that changed alerts, for pages that show more than the open ones. */
  alertChanges = $state(0);

  readonly #cells = new Map<number, ServerCell>();
  #members = $state(0);
  #changes = $state(0);
  #onCritical: (alerts: Alert[]) => void = () => undefined;

  /** The cell of one server; tells when it appears or goes. */
  cell(id: number): ServerCell | undefined {
    void this.#members;
    return this.#cells.get(id);
  }

  /** All cells; tells when a server appears or goes, not when one changes. */
  cells(): ServerCell[] {
    void this.#members;
    return [...this.#cells.values()];
  }

  /** All servers as they are now; tells at every change of any (once a message). */
  servers(): Server[] {
    void this.#members;
    void this.#changes;
    return Array.from(this.#cells.values(), (cell) => cell.server);
  }

  get size(): number {
    void this.#members;
    return this.#cells.size;
  }

  /** Calls `listener` with alerts that are critical now and were not before. */
  onCritical(listener: (alerts: Alert[]) => void): void {
    this.#onCritical = listener;
  }

  initial(message: InitialMessage): void {
    const seen = new Set<number>();
    let membersChanged = false;
    for (const server of message.servers) {
      seen.add(server.id);
      membersChanged = this.#put(server) || membersChanged;
    }
    for (const id of [...this.#cells.keys()]) {
      if (!seen.has(id)) {
        this.#cells.delete(id);
        membersChanged = true;
      }
    }
    const open = new Set(message.alerts.map((alert) => alert.id));
    for (const id of [...this.alerts.keys()]) if (!open.has(id)) this.alerts.delete(id);
    // After a pause, what fired meanwhile is news; on the first load it is not.
    this.#takeAlerts(message.alerts, this.loaded);
    this.stats = message.stats;
    this.updatedAt = Date.parse(message.timestamp);
    if (membersChanged) this.#members += 1;
    this.#changes += 1;
    this.alertChanges += 1;
    this.loaded = true;
  }

  delta(message: DeltaMessage): void {
    let membersChanged = false;
    for (const server of message.servers) membersChanged = this.#put(server) || membersChanged;
    for (const id of message.removed) {
      membersChanged = this.#cells.delete(id) || membersChanged;
      for (const alert of [...this.alerts.values()]) {
        if (alert.server_id === id) this.alerts.delete(alert.id);
      }
    }
    if (message.alerts.length > 0) {
      this.#takeAlerts(message.alerts, true);
      this.alertChanges += 1;
    }
    this.stats = message.stats;
    this.updatedAt = Date.parse(message.timestamp);
    if (membersChanged) this.#members += 1;
    this.#changes += 1;
  }

  /** Takes one server from an answer of the REST interface, ahead of the message that will follow. */
  put(server: Server): void {
    if (this.#put(server)) this.#members += 1;
    this.#changes += 1;
  }

  remove(id: number): void {
    if (this.#cells.delete(id)) {
      this.#members += 1;
      this.#changes += 1;
    }
  }

  /** Forgets everything: the person has logged out. */
  clear(): void {
    this.#cells.clear();
    this.alerts.clear();
    this.stats = null;
    this.updatedAt = null;
    this.loaded = false;
    this.#members += 1;
    this.#changes += 1;
  }

  #put(server: Server): boolean {
    const cell = this.#cells.get(server.id);
    if (cell) {
      cell.server = server;
      return false;
    }
    this.#cells.set(server.id, new ServerCell(server.id, server));
    return true;
  }

  #takeAlerts(alerts: Alert[], announce: boolean): void {
    const news: Alert[] = [];
    for (const alert of alerts) {
      if (alert.resolved) {
        this.alerts.delete(alert.id);
        continue;
      }
      if (alert.level === 'critical' && this.alerts.get(alert.id)?.level !== 'critical') news.push(alert);
      this.alerts.set(alert.id, alert);
    }
    if (announce && news.length > 0) this.#onCritical(news);
  }
}

export const fleet = new Fleet();
