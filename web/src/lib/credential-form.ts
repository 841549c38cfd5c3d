// What a person types about a shared credential, checked and turned into a request. Pure functions.

import type { Credential, CredentialKind } from '$lib/api/types';
import type { Dict } from '$lib/i18n/index.svelte';

export interface CredentialDraft {
  name: string;
  kind: CredentialKind;
  ssh_user: string;
  password: string;
  private_key: string;
  passphrase: string;
  certificate: string;
  agent_key: string;
  removePassword: boolean;
  removeCertificate: boolean;
}

export function credentialDraft(original: Credential | null): CredentialDraft {
  return {
    name: original?.name ?? '',
    kind: original?.kind ?? 'key',
    ssh_user: original?.ssh_user ?? '',
    password: '',
    private_key: '',
    passphrase: '',
    certificate: '',
    agent_key: original?.agent_key ?? '',
    removePassword: false,
    removeCertificate: false,
  };
}

/** What is missing, by field. */
export function checkCredential(
  draft: CredentialDraft,
  original: Credential | null,
  dict: Dict,
): Record<string, string> {
  const errors: Record<string, string> = {};
  if (draft.name.trim() === '') errors.name = dict.form.required;
  if (draft.kind === 'password' && draft.password === '' && !original?.has_password) {
    errors.password = dict.form.required;
  }
  if (draft.kind === 'key' && draft.private_key.trim() === '' && original?.kind !== 'key') {
    errors.private_key = dict.form.required;
  }
  return errors;
}

/** The body of a new credential, or of a change: of secrets, only what was typed or shall go. */
export function credentialBody(draft: CredentialDraft, original: Credential | null): Record<string, unknown> {
  const { kind } = draft;
  const body: Record<string, unknown> = {
    name: draft.name.trim(),
    kind,
    ssh_user: draft.ssh_user.trim() === '' ? null : draft.ssh_user.trim(),
  };
  if (draft.password !== '') body.password = draft.password;
  else if (draft.removePassword && kind !== 'password') body.password = null;
  if (kind === 'key') {
    if (draft.private_key.trim() !== '') body.private_key = draft.private_key;
    if (draft.passphrase !== '') body.passphrase = draft.passphrase;
  }
  if (kind === 'agent') body.agent_key = draft.agent_key === '' ? null : draft.agent_key;
  if (kind !== 'password') {
    if (draft.certificate.trim() !== '') body.certificate = draft.certificate.trim();
    else if (draft.removeCertificate && original?.certificate) body.certificate = null;
  }
  return body;
}
