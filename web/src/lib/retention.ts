// How long values are kept, as a person sets it. Pure functions.

import type { RetentionAges } from '$lib/api/types';

/** Seconds for each tier; null keeps for ever. */
export type Ages = Pick<RetentionAges, (typeof tiers)[number]>;

export const tiers = ['samples_seconds', 'roll_up_15m_seconds', 'roll_up_3h_seconds'] as const;
export type Tier = (typeof tiers)[number];

const day = 86_400;
/** What is offered, in seconds. */
export const offered = [1, 7, 14, 30, 60, 90, 180, 365, 730, 1825, 3650].map((days) => days * day);

/** The choices of a list, the present value among them wherever it lies. */
export function choices(present: number | null): (number | null)[] {
  const values = new Set(offered);
  if (present !== null) values.add(present);
  return [...[...values].sort((a, b) => a - b), null];
}

/** Whether a coarser tier would end before a finer one: then there would be a hole in the middle. */
export function outOfOrder(ages: Ages): Tier | null {
  const length = (tier: Tier) => ages[tier] ?? Infinity;
  if (length('roll_up_15m_seconds') < length('samples_seconds')) return 'roll_up_15m_seconds';
  if (length('roll_up_3h_seconds') < length('roll_up_15m_seconds')) return 'roll_up_3h_seconds';
  return null;
}

/** What has to be asked of the hub so that `wanted` holds instead of `held` (rules by tag; '' is for all servers). */
export function changes(
  held: ReadonlyMap<string, Ages>,
  wanted: ReadonlyMap<string, Ages>,
): { set: { tag: string; ages: Ages }[]; forget: string[] } {
  const same = (a: Ages | undefined, b: Ages) =>
    a !== undefined && tiers.every((tier) => a[tier] === b[tier]);
  return {
    set: [...wanted]
      .filter(([tag, ages]) => !same(held.get(tag), ages))
      .map(([tag, ages]) => ({ tag, ages })),
    forget: [...held.keys()].filter((tag) => !wanted.has(tag)),
  };
}
