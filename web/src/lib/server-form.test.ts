import { describe, expect, it } from 'vitest';
import { en } from './i18n/en';
import { checkConnection, checkRest, createBody, draftOf, emptyDraft, patchBody, words } from './server-form';
import { aServer } from './testing';

const typed = {
  ...emptyDraft(),
  name: ' web-1 ',
  ip: ' 10.0.0.1 ',
  ssh_user: 'deploy',
  ssh_password: ' s3cret ',
};

describe('a new server', () => {
  it('is sent trimmed, except for its secrets', () => {
    expect(createBody(typed, 'ssh-ed25519 AAAA')).toMatchObject({
      name: 'web-1',
      ip: '10.0.0.1',
      ssh_port: 22,
      ssh_password: ' s3cret ',
      jump_server_id: null,
      interval_seconds: null,
      group: null,
      host_key: 'ssh-ed25519 AAAA',
    });
  });

  it('sends no empty secret and no key nobody confirmed', () => {
    const body = createBody(typed, null);
    for (const name of ['ssh_key', 'ssh_key_passphrase', 'host_key']) expect(body).not.toHaveProperty(name);
  });

  it('is checked field by field', () => {
    const bad = {
      ...emptyDraft(),
      ssh_port: '70000',
      cpu_threshold: '95',
      disk_threshold: '0',
      interval_seconds: '1.5',
    };
    expect(Object.keys(checkConnection(bad, en, null)).sort()).toEqual([
      'ip',
      'ssh_password',
      'ssh_port',
      'ssh_user',
    ]);
    expect(checkRest(bad, en)).toEqual({
      name: en.form.required,
      interval_seconds: en.form.intervalInvalid,
      cpu_critical_threshold: en.form.thresholdOrder,
      disk_threshold: en.form.percentInvalid,
    });
  });

  it("logs in with the hub's own key, and sends no secret that was typed before", () => {
    const draft = { ...typed, method: 'hub' as const, ssh_key: 'typed before' };
    expect(checkConnection(draft, en, null)).toEqual({});
    const body = createBody(draft, null);
    expect(body.hub_key).toBe(true);
    for (const name of ['ssh_password', 'ssh_key']) expect(body).not.toHaveProperty(name);
  });

  it('needs no log-in where only an agent reports', () => {
    const agent = { ...typed, ssh_password: '', transport: 'agent' as const };
    expect(checkConnection(agent, en, null)).toEqual({});
  });
});

describe('a change', () => {
  const server = aServer(1, {
    tags: ['eu', 'web'],
    group: 'shop',
    host_key: { algorithm: 'ssh-ed25519', fingerprint: 'SHA256:a', public_key: 'ssh-ed25519 A' },
  });

  it('sends only what differs', () => {
    expect(patchBody(draftOf(server), server, 'ssh-ed25519 A')).toEqual({});
    expect(patchBody({ ...draftOf(server), ssh_port: '2222', tags: 'eu' }, server, 'ssh-ed25519 B')).toEqual({
      ssh_port: 2222,
      tags: ['eu'],
      host_key: 'ssh-ed25519 B',
    });
  });

  it('keeps a stored secret, replaces it, or removes it', () => {
    const draft = draftOf(server);
    expect(checkConnection(draft, en, server)).toEqual({});
    expect(patchBody({ ...draft, ssh_password: 'new', removePassword: true }, server, null)).toEqual({
      ssh_password: 'new',
    });
    expect(patchBody({ ...draft, removePassword: true }, server, null)).toEqual({ ssh_password: null });
    expect(checkConnection({ ...draft, removePassword: true }, en, server)).toHaveProperty('ssh_password');
  });

  it("changes over to the hub's own key, and back", () => {
    const stored = aServer(1, { has_password: true });
    expect(patchBody({ ...draftOf(stored), method: 'hub' }, stored, null)).toEqual({ hub_key: true });
    const own = aServer(1, { has_password: false });
    expect(draftOf(own).method).toBe('hub');
    expect(patchBody(draftOf(own), own, null)).toEqual({});
    const back = { ...draftOf(own), method: 'password' as const, ssh_password: 'new' };
    expect(patchBody(back, own, null)).toEqual({ ssh_password: 'new' });
  });

  it('changes over to a shared credential, and to another user with it', () => {
    const own = aServer(1, { has_password: true });
    const shared = { ...draftOf(own), method: 'shared' as const, credential_id: '7' };
    expect(patchBody(shared, own, null)).toEqual({ credential_id: 7 });
    expect(checkConnection({ ...shared, credential_id: '' }, en, own)).toHaveProperty('credential_id');
    const nameless = { ...shared, ssh_user: '' };
    expect(checkConnection(nameless, en, own)).toHaveProperty('ssh_user');
    expect(checkConnection(nameless, en, own, 'gander')).toEqual({});
    expect(patchBody(nameless, own, null)).toEqual({ credential_id: 7, ssh_user: null });

    const using = aServer(1, {
      has_password: false,
      ssh_user: '',
      credential: { id: 7, name: 'fleet', kind: 'key', ssh_user: 'gander' },
    });
    expect(draftOf(using)).toMatchObject({ method: 'shared', credential_id: '7' });
    expect(patchBody(draftOf(using), using, null)).toEqual({});
    const back = { ...draftOf(using), method: 'password' as const, ssh_user: 'root', ssh_password: 'new' };
    expect(patchBody(back, using, null)).toEqual({ ssh_user: 'root', ssh_password: 'new' });
  });

  it("leaves the address of the hub's own machine alone", () => {
    const local = aServer(1, { transport: 'local' });
    expect(patchBody({ ...draftOf(local), name: 'home', ip: 'x' }, local, null)).toEqual({ name: 'home' });
  });
});

describe('tags', () => {
  it('are split at commas and spaces of both languages', () => {
    expect(words('web, 北京，测试、eu  web;x')).toEqual(['web', '北京', '测试', 'eu', 'x']);
  });
});
