import { describe, expect, it } from 'vitest';
import { loadedFrame, longest, moved, pinched, shortest, wheelFactor, within, zoomed } from './zoom';

const hour = 3_600_000;
const now = 1_000 * hour;
const frame = { from: now - 2 * hour, to: now - hour };
const width = (one: { from: number; to: number }) => one.to - one.from;

describe('zooming', () => {
  it('keeps the moment under the pointer where it is', () => {
    const at = frame.from + hour / 4;
    const closer = zoomed(frame, 0.5, at, now);
    expect(width(closer)).toBe(hour / 2);
    expect((at - closer.from) / width(closer)).toBeCloseTo(0.25);
  });

  it('comes back to where it began', () => {
    const at = frame.from + 1234;
    const back = zoomed(zoomed(frame, 0.25, at, now), 4, at, now);
    expect(width(back)).toBe(hour);
    // Whole milliseconds, four times as wide.
    expect(Math.abs(back.from - frame.from)).toBeLessThan(4);
  });

  it('ends at a few seconds and at years, and still holds the moment', () => {
    expect(width(zoomed(frame, 1e-9, frame.from, now))).toBe(shortest);
    expect(zoomed(frame, 1e-9, frame.from, now).from).toBe(frame.from);
    expect(width(zoomed(frame, 1e9, frame.to, now))).toBe(longest);
  });

  it('does not go into the future', () => {
    expect(zoomed(frame, 10, (frame.from + frame.to) / 2, now)).toEqual({ from: now - 10 * hour, to: now });
    expect(moved(frame, 5, now)).toEqual({ from: now - hour, to: now });
    expect(within({ from: now, to: now + hour }, now)).toEqual({ from: now - hour, to: now });
  });

  it('is in whole milliseconds: the hub takes no others', () => {
    for (const one of [zoomed(frame, 0.333, frame.from + 1, now), moved(frame, 1 / 3, now)]) {
      expect([Number.isInteger(one.from), Number.isInteger(one.to)]).toEqual([true, true]);
    }
  });
});

describe('a wheel', () => {
  it('zooms alike in pixels and lines, and one wild turn does not jump a year', () => {
    expect(wheelFactor(3, 1)).toBeCloseTo(wheelFactor(48, 0));
    expect(wheelFactor(100, 0)).toBeGreaterThan(1);
    expect(wheelFactor(-100, 0) * wheelFactor(100, 0)).toBeCloseTo(1);
    expect(wheelFactor(1e6, 0)).toBeLessThan(2);
  });
});

describe('two fingers', () => {
  it('hold the moments they were put down on', () => {
    const closer = pinched(frame, [0.25, 0.75], [0, 1], now);
    expect(width(closer)).toBe(hour / 2);
    expect(closer.from).toBe(frame.from + hour / 4);
  });

  it('that go together move', () => {
    const earlier = pinched(frame, [0.2, 0.4], [0.5, 0.7], now);
    expect(width(earlier)).toBe(hour);
    expect(earlier.from).toBe(frame.from - 0.3 * hour);
  });

  it('one above the other do not zoom without end', () => {
    const still = pinched(frame, [0.5, 0.5], [0.5, 0.505], now);
    expect(width(still)).toBe(hour);
  });
});

describe('what is loaded', () => {
  it('is more than what is shown, but nothing of the future', () => {
    expect(loadedFrame(frame, now)).toEqual({ from: frame.from - hour / 4, to: frame.to + hour / 4 });
    expect(loadedFrame({ from: now - hour, to: now }, now).to).toBe(now);
  });
});
