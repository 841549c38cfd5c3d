// Changing the language by a click: whoever clicks is told when the words cannot be had.

import { describe } from '$lib/i18n/errors';
import { i18n, type Language } from '$lib/i18n/index.svelte';
import { toasts } from '$lib/toasts.svelte';

export async function speak(language: Language): Promise<void> {
  try {
    await i18n.choose(language);
  } catch (error) {
    toasts.show({ kind: 'critical', text: describe(error) });
  }
}
