// Light, dark, or as the system has it.

import { recallOne, remember } from './storage';

export const themes = ['system', 'light', 'dark'] as const;
export type Theme = (typeof themes)[number];

class ThemeState {
  choice = $state<Theme>(recallOne('theme', themes, 'system'));
  #system = $state<'light' | 'dark'>(
    matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light',
  );
  /** What is shown. */
  readonly shown: 'light' | 'dark' = $derived(this.choice === 'system' ? this.#system : this.choice);

  choose(theme: Theme): void {
    this.choice = theme;
    remember('theme', theme === 'system' ? null : theme);
  }

  start(): () => void {
    const query = matchMedia('(prefers-color-scheme: dark)');
    const follow = () => (this.#system = query.matches ? 'dark' : 'light');
    query.addEventListener('change', follow);
    return () => query.removeEventListener('change', follow);
  }
}

export const theme = new ThemeState();
