// @vitest-environment node
// Reads the hub's sources to hold the dictionaries against them.

import { readdirSync, readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { ApiError } from '$lib/api/client';
import type { Alert, CollectError, FieldCode, FieldError } from '$lib/api/types';
import { Formatter } from '$lib/format';
import { alertMessage } from './alerts';
import { en, type Dict } from './en';
import { collectMessage, fieldErrors, fieldMessage } from './errors';
import { eventDetails } from './events';
import { i18n, localeFor, negotiate } from './index.svelte';
import { zh } from './zh';

type Leaf = string | ((...args: never[]) => string);

function* leaves(value: unknown, path = ''): Generator<[string, Leaf]> {
  if (typeof value === 'string' || typeof value === 'function') yield [path, value as Leaf];
  else for (const [key, part] of Object.entries(value as object)) yield* leaves(part, `${path}/${key}`);
}

/** A sentence with marked arguments: a number where it counts, a text everywhere else. */
function said(leaf: Leaf): string {
  if (typeof leaf === 'string') return leaf;
  for (const argument of [7, '7', {}]) {
    try {
      return (leaf as (...args: unknown[]) => string)(argument, argument, argument, argument);
    } catch {
      continue;
    }
  }
  return '';
}

const spec = JSON.parse(readFileSync(new URL('../../../../hub/openapi.json', import.meta.url), 'utf8')) as {
  components: { schemas: Record<string, { enum?: string[] }> };
};

beforeAll(() => i18n.choose('en'));

describe('the language', () => {
  it('changes with its words, never before them', async () => {
    const chosen = i18n.choose('zh');
    expect([i18n.language, i18n.t.name]).toEqual(['en', 'English']);
    await chosen;
    expect([i18n.language, i18n.t.name]).toEqual(['zh', '中文']);
    await Promise.all([i18n.choose('zh'), i18n.choose('en')]);
    expect([i18n.language, i18n.t.name]).toEqual(['en', 'English']);
  });
});

describe('the dictionaries', () => {
  it('have the same keys of the same kinds', () => {
    const kinds = (dict: Dict) => [...leaves(dict)].map(([path, leaf]) => `${path}: ${typeof leaf}`).sort();
    expect(kinds(zh)).toEqual(kinds(en));
  });

  it('leave nothing empty that is not empty in both, and nothing untranslated by oversight', () => {
    const english = new Map(leaves(en));
    // Names, units and words that are the same in both languages.
    const same =
      /^\/(charts\/series|fleet|data|form|settings|server|events|transport|imports\/formats|alerts\/(titleCount|types))/;
    for (const [path, leaf] of leaves(zh)) {
      const other = english.get(path);
      expect(typeof leaf === 'string' && leaf === '', path).toBe(other === '');
      if (!same.test(path)) expect(said(leaf), path).not.toBe(other === undefined ? '' : said(other));
    }
  });

  it('use the arguments of every sentence', () => {
    const unused = [...leaves(en), ...leaves(zh)]
      .filter(
        ([path, leaf]) =>
          typeof leaf === 'function' &&
          leaf.length > 0 &&
          !/^\/(errors\/collect|fields|imports\/remarks)/.test(path),
      )
      .filter(([, leaf]) => !/7|1/.test(said(leaf)))
      .map(([path]) => path);
    expect(unused).toEqual([]);
  });

  it('know every code by which the hub says that a server cannot be read', () => {
    const codes = spec.components.schemas.CollectErrorCode?.enum ?? [];
    expect(codes.length).toBeGreaterThan(10);
    for (const dict of [en, zh]) {
      expect(Object.keys(dict.errors.collect)).toEqual(expect.arrayContaining(codes));
    }
  });

  it('know every kind of event, status, level, role, transport and origin', () => {
    const expected: [string, object][] = [
      ['EventKind', zh.events.kinds],
      ['Status', zh.status],
      ['Level', zh.level],
      ['Role', zh.role],
      ['Transport', zh.transport],
      ['Origin', zh.server.origin],
    ];
    for (const [schema, entries] of expected) {
      expect(Object.keys(entries).sort(), schema).toEqual(
        [...(spec.components.schemas[schema]?.enum ?? [])].sort(),
      );
    }
  });

  it('translate every error code that the hub can answer with', () => {
    const folder = new URL('../../../../hub/src/api/', import.meta.url);
    const codes = new Set<string>();
    for (const name of readdirSync(folder, { recursive: true }) as string[]) {
      if (!name.endsWith('.rs')) continue;
      const text = readFileSync(new URL(name, folder), 'utf8');
      for (const found of text.matchAll(
        /(?:ApiError::(?:conflict|forbidden|unavailable|too_many)\(\s*|StatusCode::[A-Z_]+,\s*)"([a-z_]+)"/g,
      )) {
        if (found[1]) codes.add(found[1]);
      }
    }
    expect(codes.size).toBeGreaterThan(3);
    expect([...codes].filter((code) => !Object.hasOwn(zh.errors.api, code))).toEqual([]);
    expect(Object.keys(zh.errors.api).sort()).toEqual(Object.keys(en.errors.api).sort());
  });
});

describe('the language', () => {
  it('follows the browser, in its order', () => {
    expect(negotiate(['zh-TW', 'en'])).toBe('zh');
    expect(negotiate(['de-DE', 'en-US', 'zh'])).toBe('en');
    expect(negotiate(['fr'])).toBe('en');
    expect(negotiate([])).toBe('en');
  });

  it("takes the person's own variant for dates", () => {
    expect(localeFor('en', ['zh-CN', 'en-US'])).toBe('en-US');
    expect(localeFor('zh', ['en-US'])).toBe('zh-CN');
  });
});

describe('an alert', () => {
  const alert = (change: Partial<Alert>): Alert => ({
    id: 1,
    server_id: 2,
    server_name: 'web-1',
    type: 'cpu',
    code: 'cpu_over_threshold',
    params: { value_permille: 953, threshold_permille: 900 },
    message: 'as the hub says it',
    level: 'critical',
    label: '',
    resolved: false,
    resolved_at: null,
    resolved_by: null,
    created_at: '2026-11-22T08:00:00.000Z',
    ...change,
  });
  const english = (one: Alert) => alertMessage(one, en, new Formatter('en', 'en-GB'));
  const chinese = (one: Alert) => alertMessage(one, zh, new Formatter('zh', 'zh-CN'));

  it('names server, value and threshold in both languages', () => {
    expect(english(alert({}))).toBe('web-1: CPU use is 95.3%, at or over the threshold of 90.0%');
    expect(chinese(alert({}))).toBe('web-1：CPU 使用率 95.3%，达到阈值 90.0%');
    expect(english(alert({ type: 'disk', label: '/var' }))).toContain('/var is 95.3% full');
  });

  it('gives the cause of an unreachable server, translated by its code', () => {
    const down = alert({
      type: 'unreachable',
      params: {
        cause_code: 'connection_refused',
        cause_message: 'web-1: nothing listens on 10.0.0.1 port 22',
        cause_params: { host: '10.0.0.1', port: '22' },
      },
    });
    expect(english(down)).toBe('web-1 cannot be read: nothing listens on 10.0.0.1 port 22');
    expect(chinese(down)).toContain('10.0.0.1:22 拒绝连接');
  });

  it('of a kind this page does not know is told as the hub tells it', () => {
    expect(chinese(alert({ type: 'moon_phase' as Alert['type'] }))).toBe('as the hub says it');
  });
});

describe('errors', () => {
  const refused: CollectError = {
    code: 'password_refused',
    message: 'db refused the password of deploy',
    params: { user: 'deploy' },
  };

  it("are the hub's own sentence in English and translated in Chinese", () => {
    expect(collectMessage(refused, 'en', en)).toBe('db refused the password of deploy');
    expect(collectMessage(refused, 'zh', zh)).toContain('用户 deploy 的密码被拒绝');
  });

  it('of an unknown code keep their message, and a code is no property of every object', () => {
    for (const code of ['brand_new', 'constructor', 'toString']) {
      expect(collectMessage({ ...refused, code } as CollectError, 'zh', zh)).toBe(refused.message);
    }
  });

  it('are handed to their fields, in the words of the dictionary', () => {
    const error = new ApiError(422, 'validation_failed', 'two fields', {
      fields: [
        { field: 'name', code: 'length', message: 'has 0 …', params: { length: 0, min: 1, max: 100 } },
        {
          field: 'ssh_port',
          code: 'whole_number',
          value: 0,
          message: 'is 0',
          params: { min: 1, max: 65535 },
        },
        { field: 'ssh_port', code: 'twice', message: 'is given twice', params: {} },
      ],
    });
    expect(fieldErrors(error)).toEqual({
      name: 'Has 0 characters; 1 to 100 are allowed.',
      ssh_port: 'Must be a whole number from 1 to 65535.',
    });
    expect(fieldErrors(new Error('something else'))).toEqual({});
  });

  it('of a field name another field as the page calls it', () => {
    const below: FieldError = {
      field: 'cpu_critical_threshold',
      code: 'below_other',
      message: 'is below cpu_threshold (80); it must be at least that',
      params: { other: 'cpu_threshold', min: 80 },
    };
    expect(fieldMessage(below, en)).toBe('Must not be below “CPU: Warning” (80).');
    expect(fieldMessage(below, zh)).toBe('不能低于“CPU: 警告”（80）。');
  });

  it("of a field with a code this page does not know are in the hub's words", () => {
    const odd = { field: 'x', code: 'constructor', message: 'is odd', params: {} } as unknown as FieldError;
    expect(fieldMessage(odd, zh)).toBe('Is odd.');
  });

  it('of a field have a sentence for every code of the interface, with and without values', () => {
    const codes = (spec.components.schemas.FieldCode?.enum ?? []) as FieldCode[];
    expect(codes.length).toBeGreaterThan(20);
    for (const dict of [en, zh]) {
      expect(Object.keys(dict.fields).sort()).toEqual([...codes].sort());
      for (const code of codes) {
        expect(dict.fields[code]({}), code).not.toMatch(/undefined|^$/);
      }
    }
  });
});

describe('the details of an event', () => {
  it('are one line of text, whatever the hub put into them', () => {
    expect(eventDetails({ details: {} })).toBe('');
    expect(eventDetails({ details: { name: 'web-1', fields: ['ip', 'tags'], none: null } })).toBe(
      'web-1 · fields: ip, tags',
    );
    expect(eventDetails({ details: { host_key: { fingerprint: 'SHA256:abc' } } })).toBe(
      'host key: SHA256:abc',
    );
  });
});
