import { describe, expect, it } from 'vitest';
import type { ImportPlan, ImportTestLine } from '$lib/api/types';
import { all, choose, confirmed, events, request } from './import';
import { emptyDraft } from './server-form';

const row = (row: number, jump_row: number | null = null, action = 'add') => ({
  row,
  action,
  jump_row,
  host_key: null,
});
// 0 is gone through by 1, and that by 2; 3 is skipped.
const plan = { rows: [row(0), row(1, 0), row(2, 1), row(3, null, 'skip')] } as unknown as ImportPlan;

describe('selecting', () => {
  it('brings what a row is reached through, and takes what is reached through it', () => {
    expect([...all(plan)]).toEqual([0, 1, 2]);
    expect([...choose(plan, new Set(), 2, true)].sort()).toEqual([0, 1, 2]);
    expect([...choose(plan, all(plan), 0, false)]).toEqual([]);
    expect([...choose(plan, all(plan), 2, false)]).toEqual([0, 1]);
  });
});

describe('a request', () => {
  it('says what was chosen and nothing else', () => {
    const draft = {
      ...emptyDraft(),
      method: 'hub' as const,
      ssh_user: ' deploy ',
      tags: 'a, b',
      ssh_port: 'x',
    };
    expect(request([{ name: 'hosts', text: 'a' }], draft)).toEqual({
      files: [{ name: 'hosts', text: 'a' }],
      ssh_user: 'deploy',
      ssh_port: 'x',
      hub_key: true,
      tags: ['a', 'b'],
      transport: 'auto',
    });
  });

  it('pins only the keys that were seen of new rows', () => {
    const seen = { answer: { host_key: { public_key: 'ssh-ed25519 AAAA' } } } as ImportTestLine;
    const found = new Map([
      [0, seen],
      [1, seen],
    ]);
    expect(confirmed(plan, new Set([0, 2]), found)).toEqual(['0 ssh-ed25519 AAAA']);
  });
});

it('reads events however they are cut', async () => {
  const text = 'data: {"row":1}\n\ndata: {"row":2}\n\n';
  const bytes = new TextEncoder().encode(text);
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const byte of bytes) controller.enqueue(new Uint8Array([byte]));
      controller.close();
    },
  });
  const seen: unknown[] = [];
  for await (const event of events(body)) seen.push(event);
  expect(seen).toEqual([{ row: 1 }, { row: 2 }]);
});
