import { describe, expect, it } from 'vitest';
import { changes, choices, offered, outOfOrder } from './retention';

const day = 86_400;

describe('how long values are kept', () => {
  it('offers the present value, in its place, and for ever as the last', () => {
    expect(choices(45 * day)).toEqual([...offered.slice(0, 4), 45 * day, ...offered.slice(4), null]);
    expect(choices(30 * day)).toEqual([...offered, null]);
    expect(choices(null)).toEqual([...offered, null]);
  });

  it('is no shorter for a coarser tier', () => {
    const ages = { samples_seconds: 30 * day, roll_up_15m_seconds: 180 * day, roll_up_3h_seconds: null };
    expect(outOfOrder(ages)).toBeNull();
    expect(outOfOrder({ ...ages, samples_seconds: null })).toBe('roll_up_15m_seconds');
    expect(outOfOrder({ ...ages, roll_up_3h_seconds: 90 * day })).toBe('roll_up_3h_seconds');
    expect(
      outOfOrder({ samples_seconds: null, roll_up_15m_seconds: null, roll_up_3h_seconds: null }),
    ).toBeNull();
  });

  it('asks only for what differs', () => {
    const ages = { samples_seconds: day, roll_up_15m_seconds: day, roll_up_3h_seconds: null };
    const longer = { ...ages, samples_seconds: 2 * day };
    const held = new Map([
      ['', ages],
      ['web', ages],
      ['old', ages],
    ]);
    expect(changes(held, held)).toEqual({ set: [], forget: [] });
    const wanted = new Map([
      ['', ages],
      ['web', longer],
      ['new', ages],
    ]);
    expect(changes(held, wanted)).toEqual({
      set: [
        { tag: 'web', ages: longer },
        { tag: 'new', ages },
      ],
      forget: ['old'],
    });
  });
});
