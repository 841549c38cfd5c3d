import { describe, expect, it } from 'vitest';
import { busiest, mean, merge, overall, paths, type History } from './fleet-history';

const known: History = {
  times: [0, 60, 120, 180],
  stepMs: 60,
  lines: new Map([
    [1, [1, 2, 3, 4]],
    [2, [5, null, 7, 8]],
  ]),
};

describe('the history of the fleet', () => {
  it('takes newer steps in, lets old ones go, and knows servers that came or went', () => {
    const answer = {
      step_ms: 60,
      times: [180, 240],
      servers: [
        { server_id: 1, avg: [40, 50] },
        { server_id: 3, avg: [null, 9] },
      ],
    };
    const { times, lines } = merge(known, answer, 60);
    expect(times).toEqual([60, 120, 180, 240]);
    expect(lines.get(1)).toEqual([2, 3, 40, 50]);
    expect(lines.get(2)).toEqual([null, 7, null, null]);
    expect(lines.get(3)).toEqual([null, null, null, 9]);
  });

  it('begins anew with steps of another length, and keeps what it has when nothing is new', () => {
    const other = { step_ms: 300, times: [0], servers: [{ server_id: 1, avg: [2] }] };
    expect(merge(known, other, 0)).toEqual({ times: [0], stepMs: 300, lines: new Map([[1, [2]]]) });
    expect(merge(known, { step_ms: 60, times: [], servers: [] }, 0)).toBe(known);
  });

  it('is summed up by values that were measured; a gap is not zero', () => {
    const lines = Array.from({ length: 100 }, (_, index) => [index + 1, null]);
    expect(overall(lines, 2)).toEqual({
      mean: [50.5, null],
      median: [50, null],
      p95: [95, null],
      most: [100, null],
    });
    expect(mean([null, 2, 4])).toBe(3);
    expect(mean([null])).toBeNull();
  });

  it('names the busiest of those asked for', () => {
    expect(busiest(known, [1, 2, 9], 5)).toEqual([
      [2, 20 / 3],
      [1, 2.5],
    ]);
    expect(busiest(known, [1, 2], 1)).toEqual([[2, 20 / 3]]);
  });

  it('is drawn with its gaps, and stays in its box', () => {
    expect(paths([0, 50, null, 200], 100, 30, 10)).toEqual({
      line: 'M0 10L10 5M30 0h0',
      area: 'M0 10L10 5L10 10L0 10ZM30 0L30 10L30 10Z',
    });
    expect(paths([100, 100], 100, 10, 10, [50, 0]).area).toBe('M0 0L10 0L10 10L0 5Z');
  });
});
