// Zooming and moving a span of time: pure functions. Nothing here knows a chart or a clock.

export interface Frame {
  /** Milliseconds since 1970. */
  from: number;
  to: number;
}

/** The shortest span shown: a handful of one-second steps. */
export const shortest = 5000;
/** The longest span shown: three years. */
export const longest = 3 * 366 * 86_400_000;

/** A frame of whole milliseconds, no shorter or longer than can be shown, and not beyond `now`. */
export function within(frame: Frame, now: number): Frame {
  const middle = (frame.from + frame.to) / 2;
  const width = Math.min(longest, Math.max(shortest, frame.to - frame.from));
  const to = Math.min(now, middle + width / 2);
  return { from: Math.round(to - width), to: Math.round(to) };
}

/** `factor` times as long (below 1 zooms in); the moment `at` stays where it is. */
export function zoomed(frame: Frame, factor: number, at: number, now: number): Frame {
  const width = frame.to - frame.from;
  const wanted = Math.min(longest, Math.max(shortest, width * factor));
  const from = at - ((at - frame.from) / width) * wanted;
  return within({ from, to: from + wanted }, now);
}

/** The frame moved by a share of its length: positive is later. */
export function moved(frame: Frame, share: number, now: number): Frame {
  const by = (frame.to - frame.from) * share;
  return within({ from: frame.from + by, to: frame.to + by }, now);
}

/** What is loaded for a frame: a quarter more on each side, so that a small move shows no empty edge. */
export function loadedFrame(frame: Frame, now: number): Frame {
  const margin = (frame.to - frame.from) / 4;
  return { from: Math.round(frame.from - margin), to: Math.round(Math.min(now, frame.to + margin)) };
}

/** The zoom factor of one wheel event: a notch of a mouse is about a fifth, a trackpad's pinch is smooth. */
export function wheelFactor(delta: number, mode: number): number {
  const pixels = mode === 1 ? delta * 16 : mode === 2 ? delta * 400 : delta;
  return Math.exp(Math.max(-0.5, Math.min(0.5, pixels * 0.0022)));
}

/**
 * The frame under two fingers: each stays on the moment it was put down on. `start` and `now_` are
 * the fingers' places as shares of the chart's width.
 */
export function pinched(frame: Frame, start: [number, number], end: [number, number], now: number): Frame {
  const width = frame.to - frame.from;
  const [a, b] = start.map((share) => frame.from + share * width) as [number, number];
  const apart = end[1] - end[0];
  // Two fingers one above the other tell a move, not a zoom.
  if (Math.abs(apart) < 0.02 || Math.abs(start[1] - start[0]) < 0.02) {
    return moved(frame, (start[0] + start[1] - end[0] - end[1]) / 2, now);
  }
  const wanted = Math.min(longest, Math.max(shortest, Math.abs((b - a) / apart)));
  const middle = (a + b) / 2;
  const from = middle - ((end[0] + end[1]) / 2) * wanted;
  return within({ from, to: from + wanted }, now);
}
