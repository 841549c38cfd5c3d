import { describe, expect, it } from 'vitest';
import { match, safeReturn } from './router';

describe('addresses', () => {
  it('lead to their pages, the old names too', () => {
    expect(match('/')).toEqual({ page: 'fleet' });
    expect(match('/monitoring.html')).toEqual({ page: 'fleet' });
    expect(match('/data-management.html')).toEqual({ page: 'data' });
    expect(match('/data-management/')).toEqual({ page: 'data' });
    expect(match('/servers/new')).toEqual({ page: 'server-new' });
    expect(match('/servers/import')).toEqual({ page: 'import' });
    expect(match('/servers/42')).toEqual({ page: 'server', id: 42 });
    expect(match('/servers/42/edit')).toEqual({ page: 'server-edit', id: 42 });
    expect(match('/settings/tokens')).toEqual({ page: 'settings', section: 'tokens' });
  });

  it('that are none lead nowhere', () => {
    for (const path of [
      '/servers/0',
      '/servers/-1',
      '/servers/1e3',
      '/servers/99999999999999999999',
      '/settings/moon',
      '/constructor',
      '/x',
    ]) {
      expect(match(path), path).toEqual({ page: 'not-found' });
    }
  });
});

describe('the way back after a log-in', () => {
  it('stays on this site', () => {
    expect(safeReturn('/servers/3?span=h6')).toBe('/servers/3?span=h6');
    for (const target of [
      null,
      '',
      'https://evil.example/',
      '//evil.example/',
      '/\\evil.example',
      '/login',
      '/nowhere',
    ]) {
      expect(safeReturn(target), String(target)).toBe('/');
    }
  });
});
