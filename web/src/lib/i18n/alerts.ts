// The sentence of an alert in the reader's language, from its type and values: the same as the hub's own.

import type { Alert } from '$lib/api/types';
import { absent, type Formatter } from '$lib/format';
import { brief, texts, withoutName } from './errors';
import type { Dict } from './index.svelte';

/** What, how much, and against which threshold or for which cause. */
export function alertMessage(alert: Alert, dict: Dict, format: Formatter): string {
  // Brought in from another system: in its own words.
  if (typeof alert.params.imported_message === 'string') return alert.message;
  const sentences = dict.alerts.messages;
  const share = (name: string) => {
    const value = alert.params[name];
    return typeof value === 'number' ? format.percent(value / 10) : absent;
  };
  const value = share('value_permille');
  const threshold = share('threshold_permille');
  switch (alert.type) {
    case 'cpu':
      return sentences.cpu(alert.server_name, value, threshold);
    case 'memory':
      return sentences.memory(alert.server_name, value, threshold);
    case 'disk':
      return sentences.disk(alert.server_name, alert.label, value, threshold);
    case 'unreachable':
      return sentences.unreachable(alert.server_name, cause(alert, dict, format));
    default:
      // A newer hub knows rules this page does not.
      return alert.message;
  }
}

function cause(alert: Alert, dict: Dict, format: Formatter): string | null {
  const code = alert.params.cause_code ?? alert.params.cause;
  const message = alert.params.cause_message;
  const own = typeof message === 'string' && message !== '' ? message : null;
  if (format.language === 'en' && own && !(typeof code === 'string' && brief.has(code)))
    return withoutName(own, alert.server_name);
  const sentence =
    typeof code === 'string' && Object.hasOwn(dict.errors.collect, code)
      ? dict.errors.collect[code]
      : undefined;
  const params = alert.params.cause_params;
  return sentence?.(texts(typeof params === 'object' ? (params as Record<string, unknown>) : {})) ?? own;
}
