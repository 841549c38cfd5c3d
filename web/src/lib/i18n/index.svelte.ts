// The chosen language: the browser's, unless a person has chosen another. A reader loads the words of
// one language; those of another come when it is chosen.

import { Formatter, type Language } from '$lib/format';
import { recall, remember } from '$lib/storage';
import type { Dict } from './en';

export type { Dict, Language };

/** The languages, the tag of each, and its own name for itself. */
export const languages: readonly { language: Language; tag: string; name: string }[] = [
  { language: 'zh', tag: 'zh-CN', name: '中文' },
  { language: 'en', tag: 'en', name: 'English' },
];

const sources: Record<Language, () => Promise<Dict>> = {
  en: async () => (await import('./en')).en,
  zh: async () => (await import('./zh')).zh,
};

/** The language a list of wanted languages (`navigator.languages`) leads to. */
export function negotiate(wanted: readonly string[]): Language {
  for (const tag of wanted) {
    const primary = tag.toLowerCase().split('-')[0];
    if (primary === 'zh' || primary === 'en') return primary;
  }
  return 'en';
}

/** The locale for dates and numbers: the person's own variant of the language, where they have one. */
export function localeFor(language: Language, wanted: readonly string[]): string {
  const own = wanted.find((tag) => tag.toLowerCase().split('-')[0] === language);
  return own ?? (language === 'zh' ? 'zh-CN' : 'en-GB');
}

function wanted(): readonly string[] {
  return typeof navigator === 'undefined' ? [] : navigator.languages;
}

class I18n {
  language = $state<Language>(this.#initial());
  #dict = $state.raw<Dict | null>(null);
  #wanted: Language = this.language;
  readonly format: Formatter = $derived(new Formatter(this.language, localeFor(this.language, wanted())));

  /** The dictionary of the chosen language. Nothing is shown before it is there (see main.ts). */
  get t(): Dict {
    if (!this.#dict) throw new Error('the words are not loaded yet');
    return this.#dict;
  }

  /** Loads the words of the first language. */
  start(): Promise<void> {
    return this.#take(this.language);
  }

  /** Changes to a language once its words are there; rejects when they cannot be had. */
  async choose(language: Language): Promise<void> {
    await this.#take(language);
    if (this.language === language) remember('language', language);
  }

  async #take(language: Language): Promise<void> {
    this.#wanted = language;
    const dict = await sources[language]();
    // Somebody has chosen again meanwhile.
    if (this.#wanted !== language) return;
    this.#dict = dict;
    this.language = language;
  }

  #initial(): Language {
    const chosen = recall('language');
    return chosen === 'zh' || chosen === 'en' ? chosen : negotiate(wanted());
  }
}

export const i18n = new I18n();

/** The dictionary of the chosen language. */
export const t = (): Dict => i18n.t;

/** The formatter of the chosen language. */
export const f = (): Formatter => i18n.format;
