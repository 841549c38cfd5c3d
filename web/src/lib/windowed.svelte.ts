// Which rows of a long list are near the screen. Rows have one fixed height, so that a list of
// 10,000 costs as much as one of 50, and nothing is measured while scrolling.

import { untrack } from 'svelte';

export interface Span {
  /** First row to render. */
  start: number;
  /** Row after the last one to render. */
  end: number;
}

/** The rows of a list of `count` between `top` and `bottom` (pixels from the list's top), and some around them. */
export function visibleRows(
  count: number,
  height: number,
  top: number,
  bottom: number,
  around: number,
): Span {
  const start = Math.max(0, Math.min(count, Math.floor(top / height) - around));
  const end = Math.max(start, Math.min(count, Math.ceil(bottom / height) + around));
  return { start, end };
}

export class Windowed {
  #count: () => number;
  #height: () => number;
  #top = $state(0);
  #bottom = $state(1200);
  #element: HTMLElement | null = null;
  readonly span: Span = $derived.by(() =>
    visibleRows(this.#count(), this.#height(), this.#top, this.#bottom, 6),
  );

  constructor(count: () => number, height: () => number) {
    this.#count = count;
    this.#height = height;
  }

  /** Attach to the element that holds the rows. */
  readonly attach = (element: HTMLElement): (() => void) => {
    this.#element = element;
    let frame = 0;
    const measure = () => {
      frame = 0;
      const top = -element.getBoundingClientRect().top;
      this.#top = top;
      this.#bottom = top + innerHeight;
    };
    const soon = () => {
      frame ||= requestAnimationFrame(measure);
    };
    untrack(measure);
    addEventListener('scroll', soon, { passive: true });
    addEventListener('resize', soon);
    const observer = new ResizeObserver(soon);
    observer.observe(document.body);
    return () => {
      cancelAnimationFrame(frame);
      removeEventListener('scroll', soon);
      removeEventListener('resize', soon);
      observer.disconnect();
      this.#element = null;
    };
  };

  /** Scrolls so that a row is on the screen, clear of the bars above and below. */
  reveal(row: number): void {
    if (!this.#element) return;
    const height = this.#height();
    const listTop = this.#element.getBoundingClientRect().top + scrollY;
    const rowTop = listTop + row * height;
    const above = 120;
    const below = 90;
    if (rowTop < scrollY + above) scrollTo({ top: rowTop - above });
    else if (rowTop + height > scrollY + innerHeight - below) {
      scrollTo({ top: rowTop + height - innerHeight + below });
    }
    const top = scrollY - listTop;
    this.#top = top;
    this.#bottom = top + innerHeight;
  }
}
