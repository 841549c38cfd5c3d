// The span of time the charts show: the last so long, or from here to there.

import { longest, shortest } from './zoom';

export const presets = {
  m15: 15 * 60_000,
  h1: 3_600_000,
  h6: 6 * 3_600_000,
  h24: 24 * 3_600_000,
  d7: 7 * 86_400_000,
  d30: 30 * 86_400_000,
  d90: 90 * 86_400_000,
  y1: 365 * 86_400_000,
} as const;
export type PresetName = keyof typeof presets;
export const presetNames = Object.keys(presets) as PresetName[];

export type ChartSpan =
  { kind: 'preset'; name: PresetName; millis: number } | { kind: 'fixed'; from: number; to: number };

export function preset(name: PresetName): ChartSpan {
  return { kind: 'preset', name, millis: presets[name] };
}

/** The span an address asks for (`span=h6`, or `from` and `to` in milliseconds); 15 minutes when it asks for none. */
export function spanOf(search: URLSearchParams): ChartSpan {
  const from = Number(search.get('from'));
  const to = Number(search.get('to'));
  if (Number.isSafeInteger(from) && Number.isSafeInteger(to) && from > 0) {
    // An address may have been written by hand: what cannot be shown falls back to the default.
    if (to - from >= shortest && to - from <= longest) return { kind: 'fixed', from, to };
  }
  const name = presetNames.find((one) => one === search.get('span'));
  return preset(name ?? 'm15');
}

/** How often a span that ends now is loaded again, in milliseconds: about once a point, at least twice an hour. */
export function refreshEvery(millis: number): number {
  return Math.min(1_800_000, Math.max(60_000, millis / 400));
}
