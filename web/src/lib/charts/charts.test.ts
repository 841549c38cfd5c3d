import { describe, expect, it } from 'vitest';
import type { SeriesAnswer, Snapshot } from '$lib/api/types';
import { Formatter } from '$lib/format';
import { charts, liveValues, seriesKey } from './catalogue';
import {
  fromAnswer,
  greatestKeys,
  joinShortGaps,
  only,
  stack,
  summary,
  withTail,
  type ChartData,
} from './data';
import { preset, refreshEvery, spanOf } from './span';
import { overlay } from './tail.svelte';
import { axisTop, writeValue } from './units';

const cpu = ['cpu.usage'];
const answer = (times: number[], values: (number | null)[], unit = 'percent'): SeriesAnswer => ({
  from: '',
  to: '',
  step_ms: 1000,
  times,
  series: [{ metric: 'cpu.usage', label: '', unit, min: values, avg: values, max: values }],
});
const averages = (data: ChartData) => data.columns.map((column) => column.avg);

const snapshot: Snapshot = {
  cpu: {
    usage_permille: 423,
    user_permille: 300,
    system_permille: 123,
    iowait_permille: 0,
    steal_permille: 0,
    throttled_permille: null,
    limit_millicores: null,
    cores_permille: [423],
  },
  memory: {
    total_bytes: 1000,
    used_bytes: 250,
    available_bytes: 750,
    free_bytes: 0,
    buffers_bytes: 0,
    cached_bytes: 0,
  },
  swap: { total_bytes: 0, used_bytes: 0 },
  load: { one_hundredths: 42, five_hundredths: 0, fifteen_hundredths: 0 },
  uptime_seconds: 1,
  boot_id: null,
  processes: null,
  pressure: null,
  sockets: null,
  filesystems: null,
  disks: [{ device: 'sda', rates: null }],
  interfaces: null,
  temperatures: null,
  tcp_states: null,
  units: null,
  updates: null,
  containers: null,
  gpus: null,
  custom: null,
  top_processes: null,
  system: null,
  faults: [],
};

describe("the hub's columns", () => {
  it('come in the units of the charts, whichever the hub sends', () => {
    expect(averages(fromAnswer(answer([1], [42.3]), cpu))).toEqual([[42.3]]);
    expect(fromAnswer(answer([1], [423], 'permille'), cpu).columns[0]?.avg[0]).toBeCloseTo(42.3);
  });

  it('stand by label, then by metric', () => {
    const metrics = ['network.receive_bytes', 'network.transmit_bytes'];
    const column = (metric: string, label: string) => ({
      metric,
      label,
      unit: 'bytes_per_second',
      min: [],
      avg: [],
      max: [],
    });
    const series = ['eth10', 'eth2'].flatMap((label) =>
      metrics.toReversed().map((metric) => column(metric, label)),
    );
    const order = fromAnswer({ from: '', to: '', step_ms: 1, times: [], series }, metrics).columns;
    expect(order.map((one) => `${one.label} ${one.metric.split('.')[1] ?? ''}`)).toEqual([
      'eth2 receive_bytes',
      'eth2 transmit_bytes',
      'eth10 receive_bytes',
      'eth10 transmit_bytes',
    ]);
  });
});

describe('the live tail', () => {
  const point = (at: number, value: number) => ({
    at,
    values: { [seriesKey('cpu.usage', '')]: value, other: 1 },
  });

  it('goes on where the stored values end, and repeats none of them', () => {
    const data = withTail(
      fromAnswer(answer([1000, 2000, 3000], [1, 2, null]), cpu),
      [point(1500, 9), point(2500, 3)],
      cpu,
    );
    expect(data.times).toEqual([1000, 2000, 2500]);
    expect(averages(data)).toEqual([[1, 2, 3]]);
  });

  it('begins a chart that has no stored values', () => {
    const data = withTail({ times: [], columns: [], step: 0 }, [point(5, 7)], cpu);
    expect(data.columns.map((column) => column.key)).toEqual([seriesKey('cpu.usage', '')]);
  });

  it('leaves a new series unknown before its first value', () => {
    const two = { at: 4000, values: { [seriesKey('cpu.usage', 'x')]: 5 } };
    const data = withTail(fromAnswer(answer([1000], [1]), cpu), [two], cpu);
    expect(averages(data)).toEqual([
      [1, null],
      [null, 5],
    ]);
  });
});

describe('gaps', () => {
  it('are joined while they are shorter than a few polls, and kept when longer', () => {
    const data = fromAnswer(answer([0, 10, 20, 30, 40, 140, 150], [1, null, 2, null, 3, 4, null]), cpu);
    const joined = joinShortGaps(data, 50);
    expect(joined.times).toEqual([0, 20, 40, 90, 140]);
    expect(averages(joined)).toEqual([[1, 2, 3, null, 4]]);
  });
});

describe('layers', () => {
  it('are summed from below, and an unknown stays unknown', () => {
    expect(
      stack([
        [1, null, 3],
        [10, 20, null],
      ]),
    ).toEqual([
      [1, null, 3],
      [11, 20, null],
    ]);
  });
});

describe('many series', () => {
  it('leave the greatest, in their order', () => {
    const data = fromAnswer(
      {
        ...answer([1], [0]),
        series: [5, 1, 9].map((value, index) => ({
          metric: 'cpu.usage',
          label: String(index),
          unit: 'percent',
          min: [value],
          avg: [value],
          max: [value],
        })),
      },
      cpu,
    );
    expect(only(data, greatestKeys(data, 2)).columns.map((column) => column.label)).toEqual(['0', '2']);
    expect(summary(data.columns[2] as never)).toEqual({ min: 9, avg: 9, max: 9 });
  });
});

describe('a snapshot', () => {
  it('gives the values that the stored series would have, and nothing where it knows nothing', () => {
    const values = liveValues(snapshot);
    expect(values[seriesKey('cpu.usage', '')]).toBe(42.3);
    expect(values[seriesKey('memory.usage', '')]).toBe(25);
    expect(values[seriesKey('load.1', '')]).toBe(0.42);
    expect(values).not.toHaveProperty(seriesKey('swap.used', ''));
    expect(values).not.toHaveProperty(seriesKey('disk.read_bytes', 'sda'));
  });

  it('keeps the section that a later one did not read', () => {
    const later = { ...snapshot, memory: null, uptime_seconds: 2 };
    expect(overlay(snapshot, later)).toMatchObject({ memory: snapshot.memory, uptime_seconds: 2 });
  });
});

describe('spans', () => {
  it('come from the address', () => {
    expect(spanOf(new URLSearchParams('span=h6'))).toEqual(preset('h6'));
    expect(spanOf(new URLSearchParams('span=y1'))).toEqual(preset('y1'));
    expect(spanOf(new URLSearchParams('from=1000&to=9000'))).toEqual({ kind: 'fixed', from: 1000, to: 9000 });
    for (const text of [
      '',
      'span=x',
      'from=5&to=1',
      'from=a&to=b',
      'from=1000&to=2000',
      'from=1.5&to=9000.5',
      'from=1&to=9e15',
    ]) {
      expect(spanOf(new URLSearchParams(text)), text).toEqual(preset('m15'));
    }
  });

  it('are loaded again about once a point', () => {
    expect(refreshEvery(15 * 60_000)).toBe(60_000);
    expect(refreshEvery(30 * 86_400_000)).toBe(1_800_000);
  });
});

describe('axes and values', () => {
  it('make no mountain out of noise, and end where there is no more', () => {
    expect(axisTop(0.4, 'percent', 100)).toBe(20);
    expect(axisTop(30, 'percent', 100)).toBe(50);
    expect(axisTop(52, 'percent', 100)).toBe(100);
    expect(axisTop(99, 'percent', 100)).toBe(100);
    expect(axisTop(null, 'bytes', undefined)).toBe(1024);
  });

  it('are written in their unit', () => {
    const en = new Formatter('en', 'en-GB');
    expect(writeValue(0.0042, 'seconds', en)).toBe('4.2 ms');
    expect(writeValue(null, 'bytes', en)).toBe('–');
    expect(writeValue(1536, 'bytes_per_second', en)).toBe('1.5 KiB/s');
  });

  it('name only metrics the dictionary knows', () => {
    expect(new Set(charts.map((chart) => chart.name)).size).toBe(charts.length);
  });
});
