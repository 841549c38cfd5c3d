// Requests to the hub: one function, one error type, one place that notices a session's end.

import type { FieldError } from './types';
import { i18n } from '$lib/i18n/index.svelte';

/** An answer that is not a success, or no answer at all (`status` 0, `code` "network"). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly details: Record<string, unknown> = {},
  ) {
    super(message);
  }

  /** The complaints about single fields, where the hub named any. */
  get fields(): FieldError[] {
    return Array.isArray(this.details.fields) ? (this.details.fields as FieldError[]) : [];
  }
}

let whenSignedOut: () => void = () => undefined;

/** Calls `listener` whenever the hub says that the session is over. */
export function onSignedOut(listener: () => void): void {
  whenSignedOut = listener;
}

export interface RequestOptions {
  body?: unknown;
  signal?: AbortSignal;
  /** A 401 here is an answer (a wrong password), not the end of a session. */
  signingIn?: boolean;
}

export interface Page<T> {
  items: T;
  /** Address of the next page, from the `Link` header. */
  next: string | null;
}

async function send(method: string, path: string, options: RequestOptions): Promise<Response> {
  const headers: Record<string, string> = {
    Accept: 'application/json',
    'Accept-Language': i18n.language,
  };
  const init: RequestInit = { method, headers, credentials: 'same-origin', cache: 'no-store' };
  if (options.body !== undefined) {
    headers['Content-Type'] = 'application/json';
    init.body = JSON.stringify(options.body);
  }
  if (options.signal) init.signal = options.signal;

  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new ApiError(0, 'network', i18n.t.errors.api.network ?? 'The hub does not answer.');
  }
  if (response.ok) return response;
  if (response.status === 401 && !options.signingIn) whenSignedOut();
  throw await readError(response);
}

async function readError(response: Response): Promise<ApiError> {
  try {
    const { error } = (await response.json()) as {
      error: { code: string; message: string; details?: Record<string, unknown> };
    };
    return new ApiError(response.status, error.code, error.message, error.details ?? {});
  } catch {
    // Not the hub's own words: a proxy in between answered.
    return new ApiError(response.status, 'unexpected', i18n.t.errors.unexpectedStatus(response.status));
  }
}

async function json<T>(response: Response): Promise<T> {
  if (response.status === 204) return undefined as T;
  const text = await response.text();
  return (text === '' ? undefined : JSON.parse(text)) as T;
}

export const api = {
  get: async <T>(path: string, options: RequestOptions = {}) => json<T>(await send('GET', path, options)),
  post: async <T>(path: string, body: unknown = {}, options: RequestOptions = {}) =>
    json<T>(await send('POST', path, { ...options, body })),
  /** The body of an answer that comes bit by bit. */
  stream: async (path: string, body: unknown, options: RequestOptions = {}) => {
    const response = await send('POST', path, { ...options, body });
    return response.body ?? new ReadableStream<Uint8Array>({ start: (controller) => controller.close() });
  },
  put: async <T>(path: string, body: unknown, options: RequestOptions = {}) =>
    json<T>(await send('PUT', path, { ...options, body })),
  patch: async <T>(path: string, body: unknown, options: RequestOptions = {}) =>
    json<T>(await send('PATCH', path, { ...options, body })),
  delete: async <T>(path: string, options: RequestOptions = {}) =>
    json<T>(await send('DELETE', path, options)),
  /** One page of a long list. */
  page: async <T>(path: string, options: RequestOptions = {}): Promise<Page<T>> => {
    const response = await send('GET', path, options);
    return { items: await json<T>(response), next: nextLink(response.headers.get('Link')) };
  },
};

/** The address marked `rel="next"` in a `Link` header. */
export function nextLink(header: string | null): string | null {
  for (const part of header?.split(/,\s*(?=<)/) ?? []) {
    const match = /^<([^>]+)>\s*;(.*)$/.exec(part.trim());
    if (match?.[1] && /rel="?next"?/.test(match[2] ?? '')) return match[1];
  }
  return null;
}

/** A path with the parameters that have a value. */
export function query(
  path: string,
  params: Record<string, string | number | boolean | null | undefined>,
): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== null && value !== '') search.set(name, String(value));
  }
  const text = search.toString();
  return text === '' ? path : `${path}?${text}`;
}
