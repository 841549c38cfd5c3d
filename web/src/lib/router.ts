// The pages of the dashboard and their addresses: pure functions, no history.

export type Route =
  | { page: 'fleet' }
  | { page: 'server'; id: number }
  | { page: 'server-edit'; id: number }
  | { page: 'server-new' }
  | { page: 'import' }
  | { page: 'alerts' }
  | { page: 'data' }
  | { page: 'events' }
  | { page: 'settings'; section: SettingsSection }
  | { page: 'login' }
  | { page: 'setup' }
  | { page: 'not-found' };

export const settingsSections = ['profile', 'users', 'tokens', 'agents', 'credentials', 'about'] as const;
export type SettingsSection = (typeof settingsSections)[number];

const fixed: Record<string, Route> = {
  '/': { page: 'fleet' },
  '/index.html': { page: 'fleet' },
  '/monitoring': { page: 'fleet' },
  '/monitoring.html': { page: 'fleet' },
  '/servers': { page: 'fleet' },
  '/servers/new': { page: 'server-new' },
  '/servers/import': { page: 'import' },
  '/alerts': { page: 'alerts' },
  '/data-management': { page: 'data' },
  '/data-management.html': { page: 'data' },
  '/events': { page: 'events' },
  '/settings': { page: 'settings', section: 'profile' },
  '/login': { page: 'login' },
  '/setup': { page: 'setup' },
};

/** The page at an address path. */
export function match(pathname: string): Route {
  const path = pathname.length > 1 ? pathname.replace(/\/+$/, '') : pathname;
  const known = fixed[path];
  if (known) return known;
  const server = /^\/servers\/([1-9][0-9]{0,14})(\/edit)?$/.exec(path);
  if (server) {
    return { page: server[2] ? 'server-edit' : 'server', id: Number(server[1]) };
  }
  const section = /^\/settings\/([a-z]+)$/.exec(path)?.[1];
  if (section && (settingsSections as readonly string[]).includes(section)) {
    return { page: 'settings', section: section as SettingsSection };
  }
  return { page: 'not-found' };
}

/** Where to go after a log-in: only a path of this very site, never another host. */
export function safeReturn(target: string | null): string {
  if (!target || !target.startsWith('/') || target.startsWith('//') || target.startsWith('/\\')) return '/';
  const page = match(target.split(/[?#]/)[0] ?? '/').page;
  return page === 'login' || page === 'setup' || page === 'not-found' ? '/' : target;
}
