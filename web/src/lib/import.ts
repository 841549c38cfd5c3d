// Bringing in a fleet: what is sent, what is selected, and the lines of a test's stream. Pure functions.

import type { ImportPlan, ImportRow, ImportTestLine } from '$lib/api/types';
import { whole, words, type Draft } from '$lib/server-form';

export interface ImportFile {
  name: string;
  text: string;
}

/** The most all texts may hold together, in bytes: the hub takes 8 MiB, escapes included. */
export const mostBytes = 6 * 1024 * 1024;

/** What is sent with every step: the texts, and what is chosen where they leave it open. */
export function request(files: readonly ImportFile[], draft: Draft): Record<string, unknown> {
  const body: Record<string, unknown> = { files };
  const put = (name: string, value: string | number | null) => {
    if (value !== null && value !== '') body[name] = value;
  };
  put('ssh_user', draft.ssh_user.trim());
  // A port that is no number is sent as it is: the hub says what is wrong with it.
  put('ssh_port', whole(draft.ssh_port, 1, 65535) ?? draft.ssh_port.trim());
  if (draft.method === 'password') put('ssh_password', draft.ssh_password);
  if (draft.method === 'key') put('ssh_key', draft.ssh_key);
  if (draft.method === 'hub') body.hub_key = true;
  if (draft.method === 'shared' && draft.credential_id !== '')
    body.credential_id = Number(draft.credential_id);
  put('ssh_key_passphrase', draft.ssh_key_passphrase);
  if (draft.jump_server_id !== '') body.jump_server_id = Number(draft.jump_server_id);
  put('interval_seconds', whole(draft.interval_seconds, 1, 86400) ?? draft.interval_seconds.trim());
  put('group', draft.group.trim());
  body.tags = words(draft.tags);
  body.transport = draft.transport;
  return body;
}

/** Selects or leaves out a row, with what it is reached through, or what is reached through it. */
export function choose(
  plan: ImportPlan,
  selected: ReadonlySet<number>,
  row: number,
  on: boolean,
): Set<number> {
  const next = new Set(selected);
  if (on) {
    let one = plan.rows[row];
    while (one && one.action !== 'skip' && !(next.has(one.row) && one.row !== row)) {
      next.add(one.row);
      one = one.jump_row === null ? undefined : plan.rows[one.jump_row];
    }
    return next;
  }
  const gone = [row];
  for (let one = gone.pop(); one !== undefined; one = gone.pop()) {
    next.delete(one);
    for (const other of plan.rows) {
      if (other.jump_row === one && next.has(other.row)) gone.push(other.row);
    }
  }
  return next;
}

/** Every row that does something. */
export function all(plan: ImportPlan): Set<number> {
  return new Set(plan.rows.filter((row) => row.action !== 'skip').map((row) => row.row));
}

/** The host keys that were seen and that the plan does not know, as the hub takes them. */
export function confirmed(
  plan: ImportPlan,
  selected: ReadonlySet<number>,
  found: ReadonlyMap<number, ImportTestLine>,
): string[] {
  const keys: string[] = [];
  for (const row of plan.rows) {
    const key = found.get(row.row)?.answer.host_key;
    if (key && row.action === 'add' && row.host_key === null && selected.has(row.row)) {
      keys.push(`${row.row} ${key.public_key}`);
    }
  }
  return keys;
}

export function matches(row: ImportRow, text: string): boolean {
  const wanted = text.trim().toLowerCase();
  return wanted === '' || `${row.name} ${row.ip} ${row.ssh_user}`.toLowerCase().includes(wanted);
}

/** The events of a stream, as they come: `data: {…}` and an empty line. */
export async function* events<T>(body: ReadableStream<Uint8Array>): AsyncGenerator<T> {
  const reader = body
    .pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)
    .getReader();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += value;
      const parts = rest.split('\n\n');
      rest = parts.pop() ?? '';
      for (const part of parts) {
        if (part.startsWith('data: ')) yield JSON.parse(part.slice(6)) as T;
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
