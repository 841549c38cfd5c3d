import { describe, expect, it } from 'vitest';
import type { Credential } from './api/types';
import { checkCredential, credentialBody, credentialDraft } from './credential-form';
import { en } from './i18n/en';

const stored: Credential = {
  id: 1,
  name: 'fleet',
  kind: 'key',
  ssh_user: 'deploy',
  has_password: true,
  has_passphrase: false,
  key: { algorithm: 'ssh-ed25519', fingerprint: 'SHA256:a', public_key: 'ssh-ed25519 A' },
  agent_key: null,
  certificate: null,
  authorise_command: null,
  server_count: 2,
  server_ids: [1, 2],
  created_at: '2026-11-22T08:00:00.000Z',
  updated_at: '2026-11-22T08:00:00.000Z',
};

describe('a shared credential', () => {
  it('needs what its kind needs', () => {
    const errors = (change: object) =>
      Object.keys(checkCredential({ ...credentialDraft(null), ...change }, null, en));
    expect(errors({})).toEqual(['name', 'private_key']);
    expect(errors({ name: 'a', kind: 'password' })).toEqual(['password']);
    expect(errors({ name: 'a', kind: 'hub_key' })).toEqual([]);
    expect(errors({ name: 'a', kind: 'agent' })).toEqual([]);
  });

  it('keeps stored secrets, replaces them, or removes them', () => {
    const draft = credentialDraft(stored);
    expect(checkCredential(draft, stored, en)).toEqual({});
    expect(credentialBody(draft, stored)).toEqual({ name: 'fleet', kind: 'key', ssh_user: 'deploy' });
    expect(credentialBody({ ...draft, private_key: 'new', passphrase: 'open' }, stored)).toMatchObject({
      private_key: 'new',
      passphrase: 'open',
    });
    expect(credentialBody({ ...draft, removePassword: true, ssh_user: ' ' }, stored)).toMatchObject({
      password: null,
      ssh_user: null,
    });
  });

  it('sends nothing that its kind has no use for', () => {
    const typed = { ...credentialDraft(stored), private_key: 'typed before', certificate: 'ssh-…' };
    const body = credentialBody({ ...typed, kind: 'password', password: 'x' }, stored);
    expect(Object.keys(body).sort()).toEqual(['kind', 'name', 'password', 'ssh_user']);
    expect(credentialBody({ ...typed, kind: 'agent', agent_key: 'SHA256:b' }, stored)).toMatchObject({
      agent_key: 'SHA256:b',
      certificate: 'ssh-…',
    });
  });
});
