// The last hour of one metric of many servers: put together, summed up, drawn. Pure functions.

import type { Unit } from '$lib/charts/catalogue';

/** What the fleet page can show the last hour of. Of several filesystems of a server the fullest counts. */
export const fleetMetrics = {
  cpu: { metric: 'cpu.usage', unit: 'percent' },
  memory: { metric: 'memory.usage', unit: 'percent' },
  disk: { metric: 'filesystem.usage', unit: 'percent' },
  load: { metric: 'load.1', unit: 'number' },
} as const satisfies Record<string, { metric: string; unit: Unit }>;
export type FleetMetric = keyof typeof fleetMetrics;
export const fleetMetricNames = Object.keys(fleetMetrics) as FleetMetric[];

export type Values = readonly (number | null)[];

/** Steps by their start (ms since 1970), and of each server a value a step. */
export interface History {
  times: readonly number[];
  stepMs: number;
  lines: ReadonlyMap<number, Values>;
}

/** What the hub answers, as far as it matters here. */
export interface HistoryAnswer {
  step_ms: number;
  times: readonly number[];
  servers: readonly { server_id: number; avg: Values }[];
}

/**
 * The history with a newer answer: its steps take the place of the same ones, which were not over yet,
 * and what is older than `since` goes.
 */
export function merge(known: History | null, answer: HistoryAnswer, since: number): History {
  const fresh = new Map(answer.servers.map((line) => [line.server_id, line.avg]));
  const first = answer.times[0];
  if (known?.stepMs !== answer.step_ms || first === undefined) {
    return first === undefined && known
      ? known
      : { times: answer.times, stepMs: answer.step_ms, lines: fresh };
  }
  const from = known.times.findIndex((time) => time >= since);
  const to = known.times.findIndex((time) => time >= first);
  const [begin, end] = [from === -1 ? known.times.length : from, to === -1 ? known.times.length : to];
  const kept = known.times.slice(begin, end);
  const gaps = (count: number): Values => new Array<null>(count).fill(null);
  const lines = new Map<number, Values>();
  for (const id of new Set([...known.lines.keys(), ...fresh.keys()])) {
    lines.set(id, [
      ...(known.lines.get(id)?.slice(begin, end) ?? gaps(kept.length)),
      ...(fresh.get(id) ?? gaps(answer.times.length)),
    ]);
  }
  return { times: [...kept, ...answer.times], stepMs: known.stepMs, lines };
}

/** Mean of the steps that have a value; null where none has. */
export function mean(values: Values): number | null {
  let sum = 0;
  let count = 0;
  for (const value of values) {
    if (value === null) continue;
    sum += value;
    count += 1;
  }
  return count === 0 ? null : sum / count;
}

/** Servers together, a figure a step: percentiles are of the nearest rank, so values that were measured. */
export interface Overall {
  mean: (number | null)[];
  median: (number | null)[];
  p95: (number | null)[];
  most: (number | null)[];
}

export function overall(lines: readonly Values[], steps: number): Overall {
  const result: Overall = { mean: [], median: [], p95: [], most: [] };
  const values = new Float64Array(lines.length);
  for (let step = 0; step < steps; step++) {
    let count = 0;
    let sum = 0;
    for (const line of lines) {
      const value = line[step];
      if (value === null || value === undefined) continue;
      values[count++] = value;
      sum += value;
    }
    const ranked = values.subarray(0, count).sort();
    const at = (percent: number) => ranked[Math.max(1, Math.ceil((count * percent) / 100)) - 1] ?? null;
    result.mean.push(count === 0 ? null : sum / count);
    result.median.push(at(50));
    result.p95.push(at(95));
    result.most.push(at(100));
  }
  return result;
}

/** The servers with the highest mean, the highest first. */
export function busiest(
  history: History,
  ids: readonly number[],
  count: number,
): [id: number, mean: number][] {
  const ranked: [number, number][] = [];
  for (const id of ids) {
    const value = mean(history.lines.get(id) ?? []);
    if (value !== null) ranked.push([id, value]);
  }
  return ranked.sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, count);
}

const places = (value: number) => String(Math.round(value * 10) / 10);

/** The runs of steps that have values: index of the first, and the values. */
function runs(values: Values): [start: number, run: number[]][] {
  const found: [number, number[]][] = [];
  values.forEach((value, index) => {
    if (value === null) return;
    const last = found.at(-1);
    if (last && last[0] + last[1].length === index) last[1].push(value);
    else found.push([index, [value]]);
  });
  return found;
}

/** SVG paths in a box of `width` by `height`: the line, and the area between it and `below` (or the floor). */
export function paths(
  values: Values,
  top: number,
  width: number,
  height: number,
  below?: Values,
): { line: string; area: string } {
  const across = width / Math.max(1, values.length - 1);
  const x = (index: number) => places(index * across);
  const y = (value: number) => places(height - (Math.min(Math.max(value, 0), top) / top) * height);
  let line = '';
  let area = '';
  for (const [start, run] of runs(values)) {
    const points = run.map((value, index) => `${x(start + index)} ${y(value)}`);
    // One step alone is a dot: a line of no length, with round ends.
    line += `M${points.join('L')}${run.length === 1 ? 'h0' : ''}`;
    const floor = below
      ? run.map((_, index) => `${x(start + index)} ${y(below[start + index] ?? 0)}`).reverse()
      : [`${x(start + run.length - 1)} ${height}`, `${x(start)} ${height}`];
    area += `M${[...points, ...floor].join('L')}Z`;
  }
  return { line, area };
}

/** The least and the greatest value there is. */
export function range(values: Values): [least: number, greatest: number] | null {
  let found: [number, number] | null = null;
  for (const value of values) {
    if (value === null) continue;
    found = found ? [Math.min(found[0], value), Math.max(found[1], value)] : [value, value];
  }
  return found;
}
