// What all charts of a page show at once: the span in the address, and the frame a hand is moving.

import { clock } from '$lib/clock.svelte';
import { navigation } from '$lib/navigation.svelte';
import { preset, refreshEvery, spanOf, type ChartSpan } from './span';
import { moved, within, zoomed, type Frame } from './zoom';

/** A hand that rests this long has arrived: only then the address changes and charts load. */
const settleAfter = 180;

export class ChartView {
  /** The span in the address: what the charts load. */
  readonly span: ChartSpan = $derived(spanOf(navigation.search));
  /** The frame under a hand that is still moving. */
  #moving = $state.raw<Frame | null>(null);
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Where to go back to from a zoom. */
  #before: ChartSpan = preset('m15');

  /** The end of the charts moves with the clock: each second where one sees it, slower where not. */
  readonly #now: number = $derived.by(() => {
    const grain = this.span.kind === 'preset' && this.span.millis > 3_600_000 ? 30_000 : 1000;
    return Math.floor(clock.hubNow / grain) * grain;
  });
  /** What is shown right now. */
  readonly frame: Frame = $derived.by(() => {
    if (this.#moving) return this.#moving;
    const { span } = this;
    return span.kind === 'fixed'
      ? { from: span.from, to: span.to }
      : { from: this.#now - span.millis, to: this.#now };
  });
  /** Grows when a span that ends now is to be loaded again. */
  readonly round: number = $derived(
    this.span.kind === 'preset' ? Math.floor(clock.now / refreshEvery(this.span.millis)) : 0,
  );

  choose(next: ChartSpan): void {
    this.#rest();
    if (next.kind === 'preset') {
      navigation.setSearch({ span: next.name === 'm15' ? null : next.name, from: null, to: null });
      return;
    }
    if (this.span.kind === 'preset') this.#before = this.span;
    const { from, to } = within(next, clock.hubNow);
    navigation.setSearch({ span: null, from: String(from), to: String(to) });
  }

  reset(): void {
    this.#rest();
    if (this.span.kind === 'fixed') this.choose(this.#before);
  }

  /** Shows a frame at once; it is kept when the hand rests. */
  show(frame: Frame): void {
    this.#moving = frame;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.choose({ kind: 'fixed', ...frame }), settleAfter);
  }

  /** Below 1 zooms in. `at` (a moment; the middle by default) stays where it is. */
  zoom(factor: number, at?: number): void {
    const { frame } = this;
    this.show(zoomed(frame, factor, at ?? (frame.from + frame.to) / 2, clock.hubNow));
  }

  /** By a share of what is shown: positive is later. */
  move(share: number): void {
    this.show(moved(this.frame, share, clock.hubNow));
  }

  /** What a key does to the charts; whether it does anything. */
  key(key: string): boolean {
    switch (key) {
      case '+':
      case '=':
        this.zoom(0.5);
        return true;
      case '-':
      case '_':
        this.zoom(2);
        return true;
      case 'ArrowLeft':
        this.move(-0.25);
        return true;
      case 'ArrowRight':
        this.move(0.25);
        return true;
      case '0':
        this.reset();
        return true;
      default:
        return false;
    }
  }

  /** Forgets a move under way: the page is going. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  #rest(): void {
    clearTimeout(this.#timer);
    this.#moving = null;
  }
}
