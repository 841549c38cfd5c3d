// Wheel and fingers on a chart. The wheel alone scrolls the page; with Ctrl or ⌘ (which is what a
// trackpad's pinch says, too) it zooms, sideways or with Shift it moves. One finger sideways moves,
// two zoom; up and down stay the page's.

import { clock } from '$lib/clock.svelte';
import type { ChartView } from './view.svelte';
import { moved, pinched, wheelFactor, zoomed, type Frame } from './zoom';

/** Attach to the element that holds the plot; `area` is where time runs from left to right. */
export function gestures(
  view: ChartView,
  area: () => { left: number; width: number } | null,
): (node: HTMLElement) => () => void {
  return (node) => {
    const fingers = new Map<number, number>();
    let start: { frame: Frame; places: number[] } | null = null;
    let frameRequest = 0;
    let next: Frame | null = null;

    const share = (clientX: number) => {
      const box = area();
      return box && box.width > 0 ? Math.max(0, Math.min(1, (clientX - box.left) / box.width)) : 0.5;
    };
    /** Wheel and fingers speak faster than the screen draws: one picture each, the newest. */
    const show = (frame: Frame) => {
      next = frame;
      frameRequest ||= requestAnimationFrame(() => {
        frameRequest = 0;
        if (next) view.show(next);
        next = null;
      });
    };

    const onWheel = (event: WheelEvent) => {
      const base = next ?? view.frame;
      if (event.ctrlKey || event.metaKey) {
        const at = base.from + share(event.clientX) * (base.to - base.from);
        show(zoomed(base, wheelFactor(event.deltaY, event.deltaMode), at, clock.hubNow));
      } else {
        const sideways = event.shiftKey && event.deltaX === 0 ? event.deltaY : event.deltaX;
        if (Math.abs(sideways) <= Math.abs(event.shiftKey ? 0 : event.deltaY)) return;
        const width = area()?.width ?? 600;
        show(moved(base, (sideways * (event.deltaMode === 1 ? 16 : 1)) / width, clock.hubNow));
      }
      event.preventDefault();
    };

    const begin = () => {
      start = fingers.size === 0 ? null : { frame: next ?? view.frame, places: [...fingers.values()] };
    };
    const onDown = (event: PointerEvent) => {
      if (event.pointerType !== 'touch' || fingers.size === 2) return;
      fingers.set(event.pointerId, share(event.clientX));
      begin();
    };
    const onMove = (event: PointerEvent) => {
      if (!fingers.has(event.pointerId) || !start) return;
      fingers.set(event.pointerId, share(event.clientX));
      const places = [...fingers.values()];
      const [a = 0, b] = places;
      const [a0 = 0, b0] = start.places;
      if (b !== undefined && b0 !== undefined) {
        show(pinched(start.frame, [a0, b0], [a, b], clock.hubNow));
      } else if (Math.abs(a - a0) > 0.02) {
        show(moved(start.frame, a0 - a, clock.hubNow));
      }
    };
    const onUp = (event: PointerEvent) => {
      if (fingers.delete(event.pointerId)) begin();
    };

    node.addEventListener('wheel', onWheel, { passive: false });
    node.addEventListener('pointerdown', onDown);
    node.addEventListener('pointermove', onMove);
    for (const end of ['pointerup', 'pointercancel'] as const) node.addEventListener(end, onUp);
    return () => {
      cancelAnimationFrame(frameRequest);
      node.removeEventListener('wheel', onWheel);
      node.removeEventListener('pointerdown', onDown);
      node.removeEventListener('pointermove', onMove);
      for (const end of ['pointerup', 'pointercancel'] as const) node.removeEventListener(end, onUp);
    };
  };
}
