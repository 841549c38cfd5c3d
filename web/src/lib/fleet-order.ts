// Which servers are shown and in which order: pure functions on lists of servers.

import type { Server, Status } from '$lib/api/types';

export const sortNames = ['problems', 'name', 'cpu', 'memory', 'disk', 'load', 'network', 'uptime'] as const;
export type SortName = (typeof sortNames)[number];

export interface Order {
  by: SortName;
  descending: boolean;
}

/** The direction a person means when they first choose an order: names from A, figures from the greatest. */
export function natural(by: SortName): Order {
  return { by, descending: by !== 'name' && by !== 'problems' };
}

export interface Filter {
  text: string;
  /** A status, or `alerts` for servers with open alerts. */
  status: Status | 'alerts' | '';
  tag: string;
  /** A group; `-` for servers without one. */
  group: string;
}

const gravity: Record<Status, number> = { offline: 0, online: 2, unknown: 3, paused: 4 };

/** How urgent a server is: the less the sooner. Offline before critical before warning before the rest. */
export function urgency(server: Server): number {
  if (server.status === 'offline') return 0;
  if (server.active_alerts.critical > 0) return 1;
  if (server.active_alerts.warning > 0) return 1.5;
  return gravity[server.status];
}

function figure(server: Server, by: SortName): number | null {
  const latest = server.latest;
  if (!latest) return null;
  switch (by) {
    case 'cpu':
      return latest.cpu_usage;
    case 'memory':
      return latest.memory_usage;
    case 'disk':
      return latest.disk_worst?.usage ?? latest.disk_usage;
    case 'load':
      return latest.load_1;
    case 'network': {
      const { network_receive_bytes_per_second: down, network_transmit_bytes_per_second: up } = latest;
      return down === null && up === null ? null : (down ?? 0) + (up ?? 0);
    }
    case 'uptime':
      return latest.uptime_seconds;
    case 'problems':
    case 'name':
      return null;
  }
}

const collators = new Map<string, Intl.Collator>();

function collator(locale: string): Intl.Collator {
  let found = collators.get(locale);
  if (!found) {
    // web-2 before web-10.
    found = new Intl.Collator(locale, { numeric: true, sensitivity: 'base' });
    collators.set(locale, found);
  }
  return found;
}

/** Place of every name in the alphabet of a locale: comparing names costs much more than comparing numbers. */
const places = new Map<string, ReadonlyMap<string, number>>();

function placesOf(servers: readonly Server[], locale: string): ReadonlyMap<string, number> {
  const known = places.get(locale);
  if (known && servers.every((server) => known.has(server.name))) return known;
  const names = [...new Set(servers.map((server) => server.name))].sort(collator(locale).compare);
  const found = new Map(names.map((name, place) => [name, place]));
  places.set(locale, found);
  return found;
}

/** The servers in order. What has no figure comes last, in either direction; equals by name. */
export function sorted(servers: readonly Server[], order: Order, locale: string): Server[] {
  const place = placesOf(servers, locale);
  const sign = order.descending ? -1 : 1;
  const key = (server: Server): number | null =>
    order.by === 'name'
      ? (place.get(server.name) ?? 0)
      : order.by === 'problems'
        ? urgency(server)
        : figure(server, order.by);
  return servers
    .map((server) => ({ server, key: key(server), place: place.get(server.name) ?? 0 }))
    .sort((a, b) => {
      const later = a.place - b.place || a.server.id - b.server.id;
      if (a.key === null || b.key === null) return a.key === b.key ? later : a.key === null ? 1 : -1;
      return sign * (a.key - b.key) || later;
    })
    .map(({ server }) => server);
}

/** The servers that fit. Every word of the text must occur somewhere in what is known of the server. */
export function filtered(servers: readonly Server[], filter: Filter): Server[] {
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  return servers.filter((server) => {
    if (filter.status === 'alerts') {
      if (server.active_alerts.warning + server.active_alerts.critical === 0) return false;
    } else if (filter.status !== '' && server.status !== filter.status) return false;
    if (filter.tag !== '' && !server.tags.includes(filter.tag)) return false;
    if (filter.group === '-' ? server.group !== null : filter.group !== '' && server.group !== filter.group) {
      return false;
    }
    if (words.length === 0) return true;
    const { latest } = server;
    const text = [
      server.name,
      server.ip,
      server.group,
      ...server.tags,
      latest?.hostname,
      latest?.os,
      latest?.kernel,
    ]
      .join('\n')
      .toLowerCase();
    return words.every((word) => text.includes(word));
  });
}
