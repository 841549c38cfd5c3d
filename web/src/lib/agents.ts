// Tokens that agents enrol with, as a person sets them. Pure functions.

import type { AgentToken } from '$lib/api/types';
import type { Dict } from '$lib/i18n/index.svelte';
import { whole, words } from './server-form';

/** Hours a token may be valid for. */
export const lifetimes = [1, 24, 168, 720] as const;
export const mostUses = 10_000;

export interface TokenDraft {
  name: string;
  many: boolean;
  uses: string;
  hours: number;
  tags: string;
  group: string;
  transport: 'agent' | 'auto';
}

/** What is sent for a draft, or what is wrong with it. `serverId`: the server an agent is added to. */
export function tokenBody(
  draft: TokenDraft,
  serverId: number | null,
  now: number,
  dict: Dict,
): { body: Record<string, unknown>; wrong: Record<string, string> } {
  const wrong: Record<string, string> = {};
  const name = draft.name.trim();
  if (name === '') wrong.name = dict.form.required;
  const uses = draft.many && serverId === null ? whole(draft.uses, 1, mostUses) : 1;
  if (uses === null) wrong.uses = dict.agents.usesInvalid(String(mostUses));
  const body: Record<string, unknown> = {
    name,
    uses,
    expires_at: new Date(now + draft.hours * 3_600_000).toISOString(),
  };
  if (serverId === null) {
    body.tags = words(draft.tags);
    body.group = draft.group.trim() === '' ? null : draft.group.trim();
    body.transport = draft.transport;
  } else {
    body.server_id = serverId;
  }
  return { body, wrong };
}

/** Whether a machine can still enrol with it. */
export function tokenState(
  token: Pick<AgentToken, 'uses' | 'used' | 'expires_at'>,
  now: number,
): 'open' | 'used' | 'expired' {
  if (Date.parse(token.expires_at) <= now) return 'expired';
  return token.used >= token.uses ? 'used' : 'open';
}
