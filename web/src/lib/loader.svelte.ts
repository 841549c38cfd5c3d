// Something loaded from the hub: its value, or why not. A reload keeps the old value until the new one is there.

export class Loader<T> {
  value = $state.raw<T | null>(null);
  error = $state.raw<unknown>(null);
  busy = $state(false);
  readonly #fetch: (signal: AbortSignal) => Promise<T>;
  #abort: AbortController | null = null;

  constructor(fetch: (signal: AbortSignal) => Promise<T>) {
    this.#fetch = fetch;
  }

  /** Loads; a load that is still under way is dropped. Returns the function that drops this one. */
  readonly load = (): (() => void) => {
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    this.busy = true;
    this.#fetch(abort.signal).then(
      (value) => {
        if (abort.signal.aborted) return;
        this.value = value;
        this.error = null;
        this.busy = false;
      },
      (error: unknown) => {
        if (abort.signal.aborted) return;
        this.error = error;
        this.busy = false;
      },
    );
    return () => abort.abort();
  };
}
