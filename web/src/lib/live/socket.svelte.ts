// The one WebSocket: connects, notices silence, reconnects with back-off, says again what is watched.

import { clock } from '$lib/clock.svelte';
import { fleet } from './fleet.svelte';
import { backoff, readMessage, type SnapshotMessage } from './messages';

/** `offline`: down for so long that what the page shows is no longer to be trusted. */
export type Connection = 'connecting' | 'live' | 'reconnecting' | 'offline';

const pingEvery = 15_000;
const silenceLimit = 40_000;
const offlineAfter = 10_000;

type SnapshotListener = (message: SnapshotMessage) => void;

class LiveSocket {
  state = $state<Connection>('connecting');
  /** When the connection was lost, in milliseconds since 1970 by this browser. */
  lostAt = $state<number | null>(null);

  #socket: WebSocket | null = null;
  #running = false;
  #attempt = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #ping: ReturnType<typeof setInterval> | undefined;
  #offline: ReturnType<typeof setTimeout> | undefined;
  #lastHeard = 0;
  #onRefused: () => Promise<void> = () => Promise.resolve();
  readonly #watched = new Map<number, Set<SnapshotListener>>();

  /** Connects and stays connected. `onRefused` is asked after a failed connect: is it the session? */
  start(onRefused: () => Promise<void>): void {
    if (this.#running) return;
    this.#running = true;
    this.#onRefused = onRefused;
    this.#attempt = 0;
    this.state = 'connecting';
    this.lostAt = null;
    addEventListener('online', this.#hurry);
    addEventListener('offline', this.#networkGone);
    document.addEventListener('visibilitychange', this.#hurry);
    this.#connect();
  }

  stop(): void {
    this.#running = false;
    clearTimeout(this.#retry);
    clearTimeout(this.#offline);
    clearInterval(this.#ping);
    removeEventListener('online', this.#hurry);
    removeEventListener('offline', this.#networkGone);
    document.removeEventListener('visibilitychange', this.#hurry);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }

  /** Has the hub poll `server` every second, and hands its snapshots to `listener`, until the returned function is called. */
  watch(server: number, listener: SnapshotListener): () => void {
    const listeners = this.#watched.get(server);
    if (listeners) {
      listeners.add(listener);
    } else {
      this.#watched.set(server, new Set([listener]));
      this.#sayWatched();
    }
    return () => {
      const left = this.#watched.get(server);
      left?.delete(listener);
      if (left?.size === 0) {
        this.#watched.delete(server);
        this.#sayWatched();
      }
    };
  }

  /** Tries again now instead of waiting. */
  retryNow(): void {
    this.#attempt = 0;
    if (this.#socket === null || this.#socket.readyState > WebSocket.OPEN) this.#connect();
  }

  #connect(): void {
    clearTimeout(this.#retry);
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    const socket = new WebSocket(`${scheme}://${location.host}/ws`);
    this.#socket = socket;
    let opened = false;
    socket.onopen = () => {
      opened = true;
      this.#lastHeard = Date.now();
      this.#sayWatched();
      clearInterval(this.#ping);
      this.#ping = setInterval(() => this.#checkPulse(socket), pingEvery);
    };
    socket.onmessage = (event) => {
      if (socket === this.#socket && typeof event.data === 'string') this.#hear(event.data);
    };
    socket.onclose = () => {
      if (socket !== this.#socket) return;
      this.#lost(opened);
    };
  }

  #hear(text: string): void {
    this.#lastHeard = Date.now();
    const message = readMessage(text);
    if (message === null || message.type === 'pong') return;
    if (message.type === 'snapshot') {
      for (const listener of this.#watched.get(message.server_id) ?? []) listener(message);
      return;
    }
    clock.learn(Date.parse(message.timestamp));
    if (message.type === 'delta') {
      fleet.delta(message);
      return;
    }
    fleet.initial(message);
    this.#attempt = 0;
    this.lostAt = null;
    clearTimeout(this.#offline);
    this.state = 'live';
  }

  #lost(opened: boolean): void {
    this.#socket = null;
    clearInterval(this.#ping);
    if (!this.#running) return;
    if (this.lostAt === null) {
      this.lostAt = Date.now();
      this.#offline = setTimeout(() => (this.state = 'offline'), offlineAfter);
    }
    if (this.state === 'live') this.state = 'reconnecting';
    this.#attempt += 1;
    const wait = backoff(this.#attempt, Math.random());
    this.#retry = setTimeout(() => this.#connect(), wait);
    // A browser hides why a handshake failed: ask the REST interface whether the session is over.
    if (!opened || this.#attempt > 1) void this.#onRefused();
  }

  /** Says ping; a connection that has been silent for too long is dead, whatever TCP believes. */
  #checkPulse(socket: WebSocket): void {
    if (socket !== this.#socket || socket.readyState !== WebSocket.OPEN) return;
    if (Date.now() - this.#lastHeard > silenceLimit) {
      socket.onclose = null;
      socket.close();
      this.#lost(true);
      return;
    }
    socket.send('ping');
  }

  readonly #hurry = (): void => {
    if (!this.#running || document.hidden) return;
    if (this.#socket === null) this.retryNow();
    else this.#checkPulse(this.#socket);
  };

  readonly #networkGone = (): void => {
    const socket = this.#socket;
    if (!socket) return;
    socket.onclose = null;
    socket.close();
    this.#lost(true);
  };

  #sayWatched(): void {
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify({ type: 'watch', servers: [...this.#watched.keys()] }));
    }
  }
}

export const live = new LiveSocket();
