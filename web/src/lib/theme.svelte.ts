// Light, dark, or as the system has it.

import { recallOne, remember } from './storage';

export const themes = ['system', 'light', 'dark'] as const;
export type Theme = (typeof themes)[number];
type Shown = 'light' | 'dark';

const paper: Record<Shown, string> = { light: '#f5f4ef', dark: '#11181b' };

class ThemeState {
  readonly #query = matchMedia('(prefers-color-scheme: dark)');
  choice = $state<Theme>(recallOne('theme', themes, 'system'));
  /** What is shown. The document has it before anybody who reads this is told. */
  shown = $state<Shown>('light');

  constructor() {
    this.#apply();
  }

  choose(theme: Theme): void {
    this.choice = theme;
    remember('theme', theme === 'system' ? null : theme);
    this.#apply();
  }

  start(): () => void {
    const follow = () => this.#apply();
    this.#query.addEventListener('change', follow);
    return () => this.#query.removeEventListener('change', follow);
  }

  #apply(): void {
    const shown = this.choice === 'system' ? (this.#query.matches ? 'dark' : 'light') : this.choice;
    document.documentElement.dataset.theme = shown;
    document.querySelector('meta[name="theme-color"]')?.setAttribute('content', paper[shown]);
    this.shown = shown;
  }
}

export const theme = new ThemeState();
