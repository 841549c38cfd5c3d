// How values of a unit are written, and where an axis may have its marks.

import type { Formatter } from '$lib/format';
import { absent } from '$lib/format';
import type { Unit } from './catalogue';

export function writeValue(value: number | null | undefined, unit: Unit, format: Formatter): string {
  if (value === null || value === undefined) return absent;
  switch (unit) {
    case 'percent':
      return format.percent(value);
    case 'bytes':
      return format.bytes(value);
    case 'bytes_per_second':
      return format.rate(value);
    case 'per_second':
      return `${format.number(value, value < 10 ? 1 : 0)}/s`;
    case 'count':
      return format.number(value, value < 10 ? 1 : 0);
    case 'number':
      return format.fixed(value, 2);
    case 'seconds':
      return value < 1
        ? `${format.number(value * 1000, value < 0.01 ? 2 : 1)} ms`
        : `${format.number(value, 2)} s`;
    case 'celsius':
      return `${format.number(value, 1)} °C`;
  }
}

/** A shorter form for the marks of an axis. */
export function writeMark(value: number, unit: Unit, format: Formatter): string {
  switch (unit) {
    case 'percent':
      return `${format.number(value, 1)}%`;
    case 'number':
      return format.number(value, 2);
    case 'celsius':
      return `${format.number(value, 1)}°`;
    default:
      return writeValue(value, unit, format);
  }
}

/** Steps between marks that are round for people: powers of two for bytes. */
export function markSteps(unit: Unit): number[] {
  const steps: number[] = [];
  if (unit === 'bytes' || unit === 'bytes_per_second') {
    for (let power = 0; power < 60; power++) steps.push(2 ** power);
    return steps;
  }
  for (let power = -6; power < 13; power++) {
    for (const digit of [1, 2, 2.5, 5]) steps.push(Number((digit * 10 ** power).toPrecision(3)));
  }
  return steps;
}

/** The greatest value of the axis for data up to `greatest`: some air above, and never a mountain out of noise. */
export function axisTop(greatest: number | null, unit: Unit, top: number | undefined): number {
  const least: Record<Unit, number> = {
    percent: 20,
    bytes: 1024,
    bytes_per_second: 1024,
    per_second: 4,
    count: 4,
    number: 1,
    seconds: 0.001,
    celsius: 50,
  };
  const wanted = Math.max(least[unit], (greatest ?? 0) * 1.12);
  if (top === undefined) return wanted;
  // A share of a whole: one of a few scales, so that charts side by side compare.
  return [top / 5, top / 2].find((scale) => wanted <= scale) ?? top;
}
