// What a person types about a server, checked and turned into a request. Pure functions.

import type { Server, Transport } from '$lib/api/types';
import type { Dict } from '$lib/i18n/index.svelte';

export interface Draft {
  name: string;
  ip: string;
  ssh_port: string;
  ssh_user: string;
  method: 'password' | 'key' | 'hub' | 'shared';
  credential_id: string;
  ssh_password: string;
  ssh_key: string;
  ssh_key_passphrase: string;
  removePassword: boolean;
  removeKey: boolean;
  jump_server_id: string;
  transport: Transport;
  interval_seconds: string;
  tags: string;
  group: string;
  enabled: boolean;
  cpu_threshold: string;
  cpu_critical_threshold: string;
  memory_threshold: string;
  memory_critical_threshold: string;
  disk_threshold: string;
  disk_critical_threshold: string;
}

export const thresholdFields = [
  ['cpu', 'cpu_threshold', 'cpu_critical_threshold'],
  ['memory', 'memory_threshold', 'memory_critical_threshold'],
  ['disk', 'disk_threshold', 'disk_critical_threshold'],
] as const;

export function emptyDraft(): Draft {
  return {
    name: '',
    ip: '',
    ssh_port: '22',
    ssh_user: '',
    method: 'password',
    credential_id: '',
    ssh_password: '',
    ssh_key: '',
    ssh_key_passphrase: '',
    removePassword: false,
    removeKey: false,
    jump_server_id: '',
    transport: 'auto',
    interval_seconds: '',
    tags: '',
    group: '',
    enabled: true,
    cpu_threshold: '80',
    cpu_critical_threshold: '90',
    memory_threshold: '85',
    memory_critical_threshold: '90',
    disk_threshold: '90',
    disk_critical_threshold: '95',
  };
}

function methodOf(server: Server): Draft['method'] {
  if (server.credential) return 'shared';
  if (server.has_password) return 'password';
  if (server.has_key) return 'key';
  // What only its agent reads has no log-in yet: whoever adds one most often has a password.
  return server.transport === 'agent' || server.transport === 'local' ? 'password' : 'hub';
}

export function draftOf(server: Server): Draft {
  return {
    ...emptyDraft(),
    name: server.name,
    ip: server.ip,
    ssh_port: String(server.ssh_port),
    ssh_user: server.ssh_user,
    method: methodOf(server),
    credential_id: server.credential === null ? '' : String(server.credential.id),
    jump_server_id: server.jump_server_id === null ? '' : String(server.jump_server_id),
    transport: server.transport,
    interval_seconds: server.interval_seconds === null ? '' : String(server.interval_seconds),
    tags: server.tags.join(', '),
    group: server.group ?? '',
    enabled: server.enabled,
    cpu_threshold: String(server.cpu_threshold),
    cpu_critical_threshold: String(server.cpu_critical_threshold),
    memory_threshold: String(server.memory_threshold),
    memory_critical_threshold: String(server.memory_critical_threshold),
    disk_threshold: String(server.disk_threshold),
    disk_critical_threshold: String(server.disk_critical_threshold),
  };
}

/** A whole number within limits; null for anything else. */
export function whole(text: string, least: number, most: number): number | null {
  const trimmed = text.trim();
  if (!/^[0-9]{1,9}$/.test(trimmed)) return null;
  const value = Number(trimmed);
  return value >= least && value <= most ? value : null;
}

/** The words of a text; each once. */
export function words(text: string): string[] {
  return [...new Set(text.split(/[\s,\uFF0C\u3001;\uFF1B]+/).filter(Boolean))];
}

export type FormErrors = Partial<Record<keyof Draft | 'host_key', string>>;

/** What is wrong with the place and the log-in: enough to connect. `sharedUser` is the log-in name that the
 * chosen credential brings. */
export function checkConnection(
  draft: Draft,
  dict: Dict,
  stored: Pick<Server, 'has_password' | 'has_key'> | null,
  sharedUser = '',
): FormErrors {
  const errors: FormErrors = {};
  if (draft.ip.trim() === '') errors.ip = dict.form.required;
  if (whole(draft.ssh_port, 1, 65535) === null) errors.ssh_port = dict.form.portInvalid;
  const named = draft.method === 'shared' && sharedUser !== '';
  if (draft.ssh_user.trim() === '' && !named) errors.ssh_user = dict.form.required;
  if (draft.method === 'shared') {
    if (draft.credential_id === '') errors.credential_id = dict.form.required;
  } else if (draft.transport !== 'agent' && draft.method !== 'hub') {
    const password = draft.ssh_password !== '' || (stored?.has_password === true && !draft.removePassword);
    const key = draft.ssh_key.trim() !== '' || (stored?.has_key === true && !draft.removeKey);
    if (!password && !key) {
      errors[draft.method === 'key' ? 'ssh_key' : 'ssh_password'] = dict.form.credentialNeeded;
    }
  }
  return errors;
}

/** What is wrong with the rest. */
export function checkRest(draft: Draft, dict: Dict): FormErrors {
  const errors: FormErrors = {};
  if (draft.name.trim() === '') errors.name = dict.form.required;
  else if ([...draft.name.trim()].length > 100) errors.name = dict.form.nameLong;
  if (draft.interval_seconds.trim() !== '' && whole(draft.interval_seconds, 1, 86_400) === null) {
    errors.interval_seconds = dict.form.intervalInvalid;
  }
  for (const [, warning, critical] of thresholdFields) {
    const low = whole(draft[warning], 1, 100);
    const high = whole(draft[critical], 1, 100);
    if (low === null) errors[warning] = dict.form.percentInvalid;
    if (high === null) errors[critical] = dict.form.percentInvalid;
    else if (low !== null && high < low) errors[critical] = dict.form.thresholdOrder;
  }
  return errors;
}

type Body = Record<string, unknown>;

/** The fields that say where a server is and how to log in, as the interface wants them. */
export function connectionBody(draft: Draft): Body {
  const body: Body = {
    ip: draft.ip.trim(),
    ssh_port: whole(draft.ssh_port, 1, 65535),
    ssh_user: draft.ssh_user.trim(),
    jump_server_id: draft.jump_server_id === '' ? null : Number(draft.jump_server_id),
  };
  if (draft.method === 'shared') {
    // Without a name of its own the credential's counts.
    if (body.ssh_user === '') body.ssh_user = null;
    return { ...body, credential_id: draft.credential_id === '' ? null : Number(draft.credential_id) };
  }
  if (draft.method === 'hub') return { ...body, hub_key: true };
  if (draft.ssh_password !== '') body.ssh_password = draft.ssh_password;
  if (draft.ssh_key.trim() !== '') {
    body.ssh_key = draft.ssh_key;
    if (draft.ssh_key_passphrase !== '') body.ssh_key_passphrase = draft.ssh_key_passphrase;
  }
  return body;
}

function restBody(draft: Draft): Body {
  const body: Body = {
    name: draft.name.trim(),
    transport: draft.transport,
    interval_seconds: whole(draft.interval_seconds, 1, 86_400),
    tags: words(draft.tags),
    group: draft.group.trim() === '' ? null : draft.group.trim(),
    enabled: draft.enabled,
  };
  for (const [, warning, critical] of thresholdFields) {
    body[warning] = whole(draft[warning], 1, 100);
    body[critical] = whole(draft[critical], 1, 100);
  }
  return body;
}

/** The body of a new server. */
export function createBody(draft: Draft, hostKey: string | null): Body {
  const body = { ...connectionBody(draft), ...restBody(draft) };
  return hostKey === null ? body : { ...body, host_key: hostKey };
}

/** The body of a change: only what differs, so that a colleague's change of another field survives. */
export function patchBody(draft: Draft, before: Server, hostKey: string | null): Body {
  const was: Body = { ...connectionBody(draftOf(before)), ...restBody(draftOf(before)) };
  const body: Body = {};
  // The hub's own machine has neither address nor transport to change.
  const fixed =
    before.transport === 'local' ? ['transport', 'ip', 'ssh_port', 'ssh_user', 'jump_server_id'] : [];
  for (const [name, value] of Object.entries({ ...connectionBody(draft), ...restBody(draft) })) {
    if (fixed.includes(name)) continue;
    if (JSON.stringify(value) !== JSON.stringify(was[name])) body[name] = value;
  }
  if (draft.method !== 'hub' && draft.method !== 'shared') removals(draft, body);
  if (hostKey !== null && hostKey !== before.host_key?.public_key) body.host_key = hostKey;
  return body;
}

/** What is stored and shall go. */
function removals(draft: Draft, body: Body): void {
  if (draft.removePassword && draft.ssh_password === '') body.ssh_password = null;
  if (draft.removeKey && draft.ssh_key.trim() === '') {
    body.ssh_key = null;
    body.ssh_key_passphrase = null;
  }
}

/** What of a draft a test depends on. */
export function connectionMark(draft: Draft): string {
  return JSON.stringify([connectionBody(draft), draft.method, draft.removePassword, draft.removeKey]);
}

/** Where a host key belongs to. */
export function placeMark(draft: Draft): string {
  return JSON.stringify([draft.ip.trim(), draft.ssh_port.trim(), draft.jump_server_id]);
}
