// Errors in the reader's language: by code where there is a translation, in the hub's own words where not.

import { ApiError } from '$lib/api/client';
import type { CollectError, FieldError, Params } from '$lib/api/types';
import { i18n, type Dict } from './index.svelte';

/** Parameters as texts, for the sentences. */
export function texts(params: Params | null | undefined): Record<string, string> {
  const result: Record<string, string> = {};
  for (const [name, value] of Object.entries(params ?? {})) {
    if (typeof value === 'string' || typeof value === 'number') result[name] = String(value);
  }
  return result;
}

/** The hub's words begin with the server's name, for its log; beside that name it is said twice. */
export function withoutName(message: string, name: string | undefined): string {
  return name && message.startsWith(`${name}: `) ? message.slice(name.length + 2) : message;
}

/** The hub's words stand behind a name in its log; here they stand alone. */
function sentence(text: string): string {
  const begun = /^[a-z]/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}

/** What has a place of its own for its details, so that one sentence is enough elsewhere. */
export const brief: ReadonlySet<string> = new Set(['host_key_changed']);

/** Why a server could not be read. English readers get the hub's own sentence, which knows the most. */
export function collectMessage(error: CollectError, language = i18n.language, dict: Dict = i18n.t): string {
  if (language === 'en' && error.message && !brief.has(error.code)) {
    const own = withoutName(error.message, error.params.name);
    // A sentence that still begins with the name begins with it as it is written.
    return own === error.message ? own : sentence(own);
  }
  const translated = Object.hasOwn(dict.errors.collect, error.code)
    ? dict.errors.collect[error.code]
    : undefined;
  return translated?.(texts(error.params)) ?? error.message;
}

/** What went wrong, for the person. */
export function describe(error: unknown): string {
  const dict = i18n.t;
  if (!(error instanceof ApiError)) return dict.errors.unexpected;
  const known = Object.hasOwn(dict.errors.api, error.code) ? dict.errors.api[error.code] : undefined;
  const base =
    i18n.language === 'en' && error.code !== 'network' ? sentence(error.message) : (known ?? error.message);
  const wait = error.details.retry_after_seconds;
  if (typeof wait === 'number' && i18n.language !== 'en') {
    return `${base}${dict.errors.retryAfter(i18n.format.duration(wait))}`;
  }
  return base;
}

/** What a field of a request is called on the page; its name in the interface where it is on none. */
function fieldLabel(name: string, dict: Dict): string {
  const { form, settings, login, fleet, common, credentials } = dict;
  const labels: Record<string, string> = {
    name: form.name,
    ip: form.ip,
    ssh_port: form.port,
    ssh_user: form.user,
    ssh_password: form.password,
    ssh_key: form.key,
    ssh_key_passphrase: form.passphrase,
    credential_id: form.shared,
    kind: credentials.kind,
    private_key: form.key,
    certificate: credentials.certificate,
    agent_key: credentials.agentKey,
    known_hosts: credentials.knownHosts,
    public_key: credentials.publicKey,
    patterns: credentials.patterns,
    jump_server_id: form.jump,
    transport: form.transport,
    interval_seconds: form.interval,
    tags: form.tags,
    group: form.group,
    cpu_threshold: `${fleet.cpu}: ${form.warning}`,
    cpu_critical_threshold: `${fleet.cpu}: ${form.critical}`,
    memory_threshold: `${fleet.memory}: ${form.warning}`,
    memory_critical_threshold: `${fleet.memory}: ${form.critical}`,
    disk_threshold: `${fleet.disk}: ${form.warning}`,
    disk_critical_threshold: `${fleet.disk}: ${form.critical}`,
    username: login.username,
    password: login.password,
    role: settings.role,
    expires_at: settings.expires,
    from: common.from,
    to: common.to,
  };
  return labels[name] ?? name;
}

/** What is wrong with one field, in the reader's language; a code of a newer hub in the hub's own words. */
export function fieldMessage(error: FieldError, dict: Dict = i18n.t): string {
  const known = Object.hasOwn(dict.fields, error.code) ? dict.fields[error.code] : undefined;
  if (!known) return sentence(error.message);
  const values = texts(error.params);
  if (values.other) values.other = fieldLabel(values.other, dict);
  return known(values);
}

/** The complaints of an answer by field. */
export function fieldErrors(error: unknown): Record<string, string> {
  const result: Record<string, string> = {};
  if (!(error instanceof ApiError)) return result;
  for (const field of error.fields) result[field.field] ??= fieldMessage(field);
  if (error.code === 'name_taken') result.name ??= i18n.t.form.nameTaken;
  return result;
}
