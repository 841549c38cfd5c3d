// Who is logged in, and what follows from it: the socket runs while somebody is.

import { api, ApiError, onSignedOut } from '$lib/api/client';
import type { SessionAnswer, SessionUser, SetupAnswer } from '$lib/api/types';
import { fleet } from '$lib/live/fleet.svelte';
import { fleetHistory } from '$lib/live/history.svelte';
import { live } from '$lib/live/socket.svelte';
import { navigation } from '$lib/navigation.svelte';
import { safeReturn } from '$lib/router';

/** `unreachable`: the hub did not answer the first question, so nobody knows. */
export type Phase = 'starting' | 'unreachable' | 'needs-setup' | 'signed-out' | 'signed-in';

class Session {
  phase = $state<Phase>('starting');
  user = $state.raw<SessionUser | null>(null);
  /** Whether the log-in is shown because the session has ended; `user` is then who it was. */
  ended = $state(false);

  get isAdmin(): boolean {
    return this.user?.role === 'admin';
  }

  /** Asks the hub who we are. */
  async load(): Promise<void> {
    try {
      const { user } = await api.get<SessionAnswer>('/api/session', { signingIn: true });
      this.#enter(user);
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) {
        await this.#askForSetup();
      } else {
        this.phase = 'unreachable';
      }
    }
  }

  async #askForSetup(): Promise<void> {
    try {
      const { required } = await api.get<SetupAnswer>('/api/setup');
      this.phase = required ? 'needs-setup' : 'signed-out';
    } catch {
      this.phase = 'unreachable';
    }
  }

  async login(username: string, password: string): Promise<void> {
    await api.post('/api/login', { username, password }, { signingIn: true });
    await this.#afterLogin();
  }

  /** Makes the first admin with the token of the hub's set-up link, and logs in. */
  async setup(token: string, username: string, password: string): Promise<void> {
    await api.post('/api/setup', { token, username, password }, { signingIn: true });
    try {
      const { user } = await api.get<SessionAnswer>('/api/session', { signingIn: true });
      this.#enter(user);
      navigation.go('/', { replace: true });
    } catch {
      await this.login(username, password);
    }
  }

  async #afterLogin(): Promise<void> {
    const { user } = await api.get<SessionAnswer>('/api/session', { signingIn: true });
    const target = navigation.search.get('return');
    this.#enter(user);
    if (navigation.route.page === 'login' || navigation.route.page === 'setup') {
      navigation.go(safeReturn(target), { replace: true });
    }
  }

  async logout(): Promise<void> {
    try {
      await api.post('/api/logout', {}, { signingIn: true });
    } catch (error) {
      // Already over is as good; a hub that does not answer has not logged us out.
      if (!(error instanceof ApiError && error.status === 401)) throw error;
    }
    this.#leave(false);
    navigation.go('/login', { replace: true });
  }

  /** The hub says that the session is over: log in, and come back to where we were. */
  expired(): void {
    if (this.phase !== 'signed-in') return;
    this.#leave(true);
  }

  /** After a failed WebSocket connect: is it the session? A 401 answer ends it by itself. */
  readonly check = async (): Promise<void> => {
    try {
      await api.get('/api/session');
    } catch {
      // The socket goes on trying.
    }
  };

  #enter(user: SessionUser): void {
    if (this.user !== null && this.user.id !== user.id) this.#forget();
    this.user = user;
    this.ended = false;
    this.phase = 'signed-in';
    live.start(this.check);
  }

  #forget(): void {
    fleet.clear();
    fleetHistory.clear();
  }

  #leave(ended: boolean): void {
    live.stop();
    // Behind the log-in the page stays as it was, with all that was typed into it.
    if (!ended) {
      this.#forget();
      this.user = null;
    }
    this.ended = ended;
    this.phase = 'signed-out';
  }
}

export const session = new Session();
onSignedOut(() => session.expired());
