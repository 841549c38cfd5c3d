// The chosen language: the browser's, unless a person has chosen another.

import { Formatter, type Language } from '$lib/format';
import { recall, remember } from '$lib/storage';
import { en, type Dict } from './en';
import { zh } from './zh';

export type { Dict, Language };

const dictionaries: Record<Language, Dict> = { en, zh };

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
  /** The dictionary of the chosen language. */
  readonly t: Dict = $derived(dictionaries[this.language]);
  readonly format: Formatter = $derived(new Formatter(this.language, localeFor(this.language, wanted())));

  choose(language: Language): void {
    this.language = language;
    remember('language', language);
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
