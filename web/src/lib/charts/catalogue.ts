// The charts of a server page: which metrics each shows, and where a live snapshot holds the same values.

import type { Snapshot } from '$lib/api/types';
import type { Dict } from '$lib/i18n/index.svelte';

export type Metric = keyof Dict['charts']['series'];
type OtherWords = 'series' | 'groups' | 'shownOf' | 'choose' | 'searchSeries' | 'greatest' | 'peak';
export type ChartName = Exclude<keyof Dict['charts'], OtherWords>;
export type ChartGroup = keyof Dict['charts']['groups'];

/** How values are written and which way the axis grows. */
export type Unit =
  'percent' | 'bytes' | 'bytes_per_second' | 'per_second' | 'count' | 'number' | 'seconds' | 'celsius';

export interface ChartSpec {
  name: ChartName;
  group: ChartGroup;
  metrics: Metric[];
  unit: Unit;
  /** Layers on top of each other that make up a whole. */
  stacked?: boolean;
  /** The axis ends here at the latest, and no sooner. */
  top?: number;
  /** Shown only where the server has such a thing (swap, temperatures, …). */
  optional?: boolean;
  /** Read at a slower pace than the rest. */
  slow?: boolean;
}

export const charts: ChartSpec[] = [
  { name: 'cpu', group: 'cpu', metrics: ['cpu.usage'], unit: 'percent', top: 100 },
  {
    name: 'cpuModes',
    group: 'cpu',
    metrics: ['cpu.user', 'cpu.system', 'cpu.iowait', 'cpu.steal'],
    unit: 'percent',
    stacked: true,
    top: 100,
  },
  { name: 'cores', group: 'cpu', metrics: ['cpu.core_usage'], unit: 'percent', top: 100, optional: true },
  {
    name: 'throttled',
    group: 'cpu',
    metrics: ['cpu.throttled'],
    unit: 'percent',
    top: 100,
    optional: true,
  },
  { name: 'load', group: 'cpu', metrics: ['load.1', 'load.5', 'load.15'], unit: 'number', optional: true },
  { name: 'memoryUse', group: 'memory', metrics: ['memory.usage'], unit: 'percent', top: 100 },
  {
    name: 'memory',
    group: 'memory',
    metrics: ['memory.used', 'memory.cached', 'memory.buffers'],
    unit: 'bytes',
  },
  { name: 'swap', group: 'memory', metrics: ['swap.used'], unit: 'bytes', optional: true },
  {
    name: 'pressure',
    group: 'memory',
    metrics: [
      'pressure.cpu.some',
      'pressure.memory.some',
      'pressure.memory.full',
      'pressure.io.some',
      'pressure.io.full',
    ],
    unit: 'percent',
    optional: true,
  },
  {
    name: 'filesystems',
    group: 'disk',
    metrics: ['filesystem.usage'],
    unit: 'percent',
    top: 100,
    slow: true,
  },
  {
    name: 'diskIo',
    group: 'disk',
    metrics: ['disk.read_bytes', 'disk.write_bytes'],
    unit: 'bytes_per_second',
  },
  { name: 'diskBusy', group: 'disk', metrics: ['disk.utilisation'], unit: 'percent', top: 100 },
  { name: 'diskOps', group: 'disk', metrics: ['disk.reads', 'disk.writes'], unit: 'per_second' },
  { name: 'diskAwait', group: 'disk', metrics: ['disk.await'], unit: 'seconds', optional: true },
  {
    name: 'network',
    group: 'network',
    metrics: ['network.receive_bytes', 'network.transmit_bytes'],
    unit: 'bytes_per_second',
  },
  {
    name: 'packets',
    group: 'network',
    metrics: ['network.receive_packets', 'network.transmit_packets'],
    unit: 'per_second',
  },
  { name: 'networkErrors', group: 'network', metrics: ['network.errors', 'network.drops'], unit: 'count' },
  {
    name: 'sockets',
    group: 'network',
    metrics: ['sockets.tcp', 'sockets.tcp_time_wait', 'sockets.udp'],
    unit: 'count',
  },
  rare('network', 'tcp', ['tcp.sockets'], 'count'),
  { name: 'processes', group: 'system', metrics: ['processes.total', 'processes.threads'], unit: 'count' },
  { name: 'running', group: 'system', metrics: ['processes.running', 'processes.blocked'], unit: 'count' },
  {
    name: 'temperatures',
    group: 'system',
    metrics: ['temperature'],
    unit: 'celsius',
    optional: true,
    slow: true,
  },
  rare('system', 'failedUnits', ['units.failed'], 'count'),
  rare('system', 'updates', ['updates.pending', 'updates.security'], 'count'),
  rare('system', 'containerCpu', ['container.cpu'], 'number'),
  rare('system', 'containerMemory', ['container.memory'], 'bytes'),
  rare('system', 'gpuUse', ['gpu.usage'], 'percent'),
  rare('system', 'gpuMemory', ['gpu.memory_used'], 'bytes'),
  rare('system', 'gpuTemperature', ['gpu.temperature'], 'celsius'),
  rare('system', 'gpuPower', ['gpu.power'], 'number'),
  rare('system', 'custom', ['custom.value'], 'number'),
];

/** A chart of what is read once a minute, shown where there is such a thing. */
function rare(group: ChartGroup, name: ChartName, metrics: Metric[], unit: Unit): ChartSpec {
  return { name, group, metrics, unit, optional: true, slow: true };
}

/** What makes a series of a chart: metric and label. */
export function seriesKey(metric: string, label: string): string {
  return `${metric}\n${label}`;
}

type Values = Record<string, number>;
type Put = (metric: Metric, label: string, value: number | null | undefined, divisor?: number) => void;

/** Every value of a snapshot by series key, in the units of the series interface. */
export function liveValues(snapshot: Snapshot): Values {
  const values: Values = {};
  const put: Put = (metric, label, value, divisor = 1) => {
    if (value !== null && value !== undefined) values[seriesKey(metric, label)] = value / divisor;
  };
  const { cpu, memory, swap, load, processes, pressure, sockets } = snapshot;
  if (cpu) {
    put('cpu.usage', '', cpu.usage_permille, 10);
    put('cpu.user', '', cpu.user_permille, 10);
    put('cpu.system', '', cpu.system_permille, 10);
    put('cpu.iowait', '', cpu.iowait_permille, 10);
    put('cpu.steal', '', cpu.steal_permille, 10);
    put('cpu.throttled', '', cpu.throttled_permille, 10);
    cpu.cores_permille.forEach((core, index) => put('cpu.core_usage', String(index), core, 10));
  }
  if (memory) {
    put('memory.used', '', memory.used_bytes);
    put('memory.cached', '', memory.cached_bytes);
    put('memory.buffers', '', memory.buffers_bytes);
    put('memory.free', '', memory.free_bytes);
    if (memory.total_bytes > 0) {
      put('memory.usage', '', Math.round((memory.used_bytes / memory.total_bytes) * 1000), 10);
    }
  }
  if (swap && swap.total_bytes > 0) put('swap.used', '', swap.used_bytes);
  if (load) {
    put('load.1', '', load.one_hundredths, 100);
    put('load.5', '', load.five_hundredths, 100);
    put('load.15', '', load.fifteen_hundredths, 100);
  }
  put('processes.total', '', processes?.total);
  put('processes.threads', '', processes?.threads);
  put('processes.running', '', processes?.running);
  put('processes.blocked', '', processes?.blocked);
  put('pressure.cpu.some', '', pressure?.cpu_some_permille, 10);
  put('pressure.memory.some', '', pressure?.memory_some_permille, 10);
  put('pressure.memory.full', '', pressure?.memory_full_permille, 10);
  put('pressure.io.some', '', pressure?.io_some_permille, 10);
  put('pressure.io.full', '', pressure?.io_full_permille, 10);
  put('sockets.tcp', '', sockets?.tcp_in_use);
  put('sockets.tcp_time_wait', '', sockets?.tcp_time_wait);
  put('sockets.udp', '', sockets?.udp_in_use);
  for (const filesystem of snapshot.filesystems ?? []) {
    put('filesystem.usage', filesystem.mount_point, filesystem.usage_permille, 10);
  }
  for (const { device, rates } of snapshot.disks ?? []) {
    put('disk.read_bytes', device, rates?.read_bytes_per_second);
    put('disk.write_bytes', device, rates?.write_bytes_per_second);
    put('disk.reads', device, rates?.reads_per_second);
    put('disk.writes', device, rates?.writes_per_second);
    put('disk.utilisation', device, rates?.utilisation_permille, 10);
    put('disk.await', device, rates?.await_us, 1_000_000);
  }
  for (const { name, rates } of snapshot.interfaces ?? []) {
    put('network.receive_bytes', name, rates?.receive_bytes_per_second);
    put('network.transmit_bytes', name, rates?.transmit_bytes_per_second);
    put('network.receive_packets', name, rates?.receive_packets_per_second);
    put('network.transmit_packets', name, rates?.transmit_packets_per_second);
    put('network.errors', name, rates?.errors);
    put('network.drops', name, rates?.drops);
  }
  for (const { sensor, millicelsius } of snapshot.temperatures ?? []) {
    put('temperature', sensor, millicelsius, 1000);
  }
  put('units.failed', '', snapshot.units?.failed);
  put('updates.pending', '', snapshot.updates?.pending);
  put('updates.security', '', snapshot.updates?.security);
  for (const { state, count } of snapshot.tcp_states ?? []) put('tcp.sockets', state, count);
  for (const { name, cpu_millicores, memory_bytes } of snapshot.containers ?? []) {
    put('container.cpu', name, cpu_millicores, 1000);
    put('container.memory', name, memory_bytes);
  }
  for (const gpu of snapshot.gpus ?? []) {
    put('gpu.usage', gpu.name, gpu.usage_permille, 10);
    put('gpu.memory_used', gpu.name, gpu.memory_used_bytes);
    put('gpu.temperature', gpu.name, gpu.millicelsius, 1000);
    put('gpu.power', gpu.name, gpu.milliwatts, 1000);
  }
  for (const { series, value_thousandths } of snapshot.custom ?? []) {
    put('custom.value', series, value_thousandths, 1000);
  }
  return values;
}
