import { describe, expect, it } from 'vitest';
import { mostUses, tokenBody, tokenState, type TokenDraft } from './agents';
import { en } from './i18n/en';

const now = Date.parse('2026-11-22T08:00:00Z');
const draft: TokenDraft = {
  name: ' web servers ',
  many: false,
  uses: '100',
  hours: 24,
  tags: 'web, berlin web',
  group: ' ',
  transport: 'auto',
};

describe('a token for agents', () => {
  it('is for one machine, unless many are wanted', () => {
    expect(tokenBody(draft, null, now, en)).toEqual({
      wrong: {},
      body: {
        name: 'web servers',
        uses: 1,
        expires_at: '2026-11-23T08:00:00.000Z',
        tags: ['web', 'berlin'],
        group: null,
        transport: 'auto',
      },
    });
    expect(tokenBody({ ...draft, many: true }, null, now, en).body.uses).toBe(100);
  });

  it('of an enrolled server is for it alone, and makes no other', () => {
    const { body } = tokenBody({ ...draft, many: true }, 7, now, en);
    expect(body).toEqual({
      name: 'web servers',
      uses: 1,
      expires_at: '2026-11-23T08:00:00.000Z',
      server_id: 7,
    });
  });

  it('needs a name and a number', () => {
    const { wrong } = tokenBody(
      { ...draft, name: ' ', many: true, uses: String(mostUses + 1) },
      null,
      now,
      en,
    );
    expect(Object.keys(wrong)).toEqual(['name', 'uses']);
  });

  it('is open until it is used up or has expired', () => {
    const token = { uses: 2, used: 1, expires_at: '2026-11-22T08:00:01Z' };
    expect(tokenState(token, now)).toBe('open');
    expect(tokenState({ ...token, used: 2 }, now)).toBe('used');
    expect(tokenState(token, now + 1000)).toBe('expired');
  });
});
