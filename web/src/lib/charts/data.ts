// From the hub's columns and the live tail to what a chart draws. Pure functions.

import type { SeriesAnswer } from '$lib/api/types';
import { seriesKey } from './catalogue';

export interface Column {
  key: string;
  metric: string;
  label: string;
  min: (number | null)[];
  avg: (number | null)[];
  max: (number | null)[];
}

export interface ChartData {
  /** Milliseconds since 1970, ascending. */
  times: number[];
  columns: Column[];
  /** Width of a step in milliseconds; 0 before the first answer. */
  step: number;
}

export interface TailPoint {
  at: number;
  values: Record<string, number>;
}

export const nothing: ChartData = { times: [], columns: [], step: 0 };

/** What one unit of the interface is in the units charts use. */
const factors: Record<string, number> = {
  permille: 0.1,
  hundredths: 0.01,
  microseconds: 1e-6,
  milliseconds: 1e-3,
  millicelsius: 1e-3,
};

function scaled(values: (number | null)[], factor: number): (number | null)[] {
  return factor === 1 ? values : values.map((value) => (value === null ? null : value * factor));
}

/** The hub's answer, in the units of the charts, in the order of `metrics`. */
export function fromAnswer(answer: SeriesAnswer, metrics: readonly string[]): ChartData {
  const columns = answer.series.map((series): Column => {
    const factor = factors[series.unit] ?? 1;
    return {
      key: seriesKey(series.metric, series.label),
      metric: series.metric,
      label: series.label,
      min: scaled(series.min, factor),
      avg: scaled(series.avg, factor),
      max: scaled(series.max, factor),
    };
  });
  return { times: answer.times, columns: inOrder(columns, metrics), step: answer.step_ms };
}

/** Label by label (`eth2` before `eth10`), and within one by the order of the metrics. */
function inOrder(columns: Column[], metrics: readonly string[]): Column[] {
  return columns.sort(
    (a, b) =>
      a.label.localeCompare(b.label, 'en', { numeric: true }) ||
      metrics.indexOf(a.metric) - metrics.indexOf(b.metric),
  );
}

/** Appends what the live tail knows beyond the end of the stored values. */
export function withTail(data: ChartData, tail: readonly TailPoint[], metrics: readonly string[]): ChartData {
  const last = lastKnown(data);
  const fresh = tail.filter(
    (point) => point.at > last && metrics.some((metric) => hasMetric(point.values, metric)),
  );
  if (fresh.length === 0) return data;
  const cut = data.times.findLastIndex((time) => time <= last) + 1;
  const known = new Map(data.columns.map((column) => [column.key, column]));
  const keys = new Set(data.columns.map((column) => column.key));
  for (const point of fresh) {
    for (const key of Object.keys(point.values)) {
      if (metrics.includes(key.slice(0, key.indexOf('\n')))) keys.add(key);
    }
  }
  const columns = [...keys].map((key): Column => {
    const column = known.get(key);
    const split = key.indexOf('\n');
    const newer = fresh.map((point) => point.values[key] ?? null);
    const before: null[] = column ? [] : new Array<null>(cut).fill(null);
    return {
      key,
      metric: key.slice(0, split),
      label: key.slice(split + 1),
      min: [...(column?.min.slice(0, cut) ?? before), ...newer],
      avg: [...(column?.avg.slice(0, cut) ?? before), ...newer],
      max: [...(column?.max.slice(0, cut) ?? before), ...newer],
    };
  });
  return {
    times: [...data.times.slice(0, cut), ...fresh.map((point) => point.at)],
    columns: inOrder(columns, metrics),
    step: data.step,
  };
}

function hasMetric(values: Record<string, number>, metric: string): boolean {
  for (const key in values) if (key.startsWith(metric) && key[metric.length] === '\n') return true;
  return false;
}

function lastKnown(data: ChartData): number {
  for (let row = data.times.length - 1; row >= 0; row--) {
    const time = data.times[row];
    if (time !== undefined && data.columns.some((column) => (column.avg[row] ?? null) !== null)) return time;
  }
  return -Infinity;
}

/**
 * Steps finer than the poll interval are empty between two polls without anything being amiss.
 * Drops empty rows, and leaves one where the time between two known rows is over `longest`
 * milliseconds: that is a gap.
 */
export function joinShortGaps(data: ChartData, longest: number): ChartData {
  const times: number[] = [];
  const rows: (number | null)[] = [];
  let previous: number | null = null;
  data.times.forEach((time, row) => {
    if (!data.columns.some((column) => (column.avg[row] ?? null) !== null)) return;
    if (previous !== null && time - previous > longest) {
      times.push(previous + (time - previous) / 2);
      rows.push(null);
    }
    times.push(time);
    rows.push(row);
    previous = time;
  });
  const pick = (values: (number | null)[]) =>
    rows.map((row) => (row === null ? null : (values[row] ?? null)));
  return {
    times,
    columns: data.columns.map((column) => ({
      ...column,
      min: pick(column.min),
      avg: pick(column.avg),
      max: pick(column.max),
    })),
    step: data.step,
  };
}

/** The keys of the columns with the greatest values, at most `most` of them. */
export function greatestKeys(data: ChartData, most: number): Set<string> {
  const weight = (column: Column) => column.max.reduce<number>((top, value) => Math.max(top, value ?? 0), 0);
  return new Set(
    data.columns
      .map((column) => ({ key: column.key, weight: weight(column) }))
      .sort((a, b) => b.weight - a.weight)
      .slice(0, most)
      .map(({ key }) => key),
  );
}

/** Only the columns with these keys, in their order. */
export function only(data: ChartData, keys: ReadonlySet<string>): ChartData {
  return { ...data, columns: data.columns.filter((column) => keys.has(column.key)) };
}

/** Sums from below, for layers on top of each other. A row nobody knows stays unknown. */
export function stack(columns: readonly (number | null)[][]): (number | null)[][] {
  const length = columns[0]?.length ?? 0;
  const sums = new Array<number>(length).fill(0);
  return columns.map((column) =>
    column.map((value, row) => {
      if (value === null) return null;
      const sum = (sums[row] ?? 0) + value;
      sums[row] = sum;
      return sum;
    }),
  );
}

/** Least, mean and greatest of a column over all its rows; null without any. */
export function summary(column: Column): { min: number; avg: number; max: number } | null {
  let min = Infinity;
  let max = -Infinity;
  let sum = 0;
  let count = 0;
  column.avg.forEach((value, row) => {
    if (value === null) return;
    min = Math.min(min, column.min[row] ?? value);
    max = Math.max(max, column.max[row] ?? value);
    sum += value;
    count += 1;
  });
  return count === 0 ? null : { min, avg: sum / count, max };
}
