// Where the person is: the history router's state and the one link handler.

import { match, type Route } from './router';

class Navigation {
  #path = $state(location.pathname);
  #search = $state(location.search);
  #guard: (() => boolean) | null = null;
  readonly route: Route = $derived(match(this.#path));

  get path(): string {
    return this.#path;
  }

  get search(): URLSearchParams {
    return new URLSearchParams(this.#search);
  }

  /** Goes to `target` (path, search). `replace` leaves no step to go back to. */
  go(target: string, options: { replace?: boolean } = {}): void {
    const url = new URL(target, location.origin);
    if (url.origin !== location.origin || !this.#leave()) return;
    if (options.replace) history.replaceState(null, '', url);
    else if (url.href !== location.href) history.pushState(null, '', url);
    this.#arrive(true);
  }

  /** Changes the search part in place: filters that survive a reload and can be sent to a colleague. */
  setSearch(params: Record<string, string | null>): void {
    const search = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(params)) {
      if (value === null || value === '') search.delete(name);
      else search.set(name, value);
    }
    const text = search.toString();
    history.replaceState(null, '', text === '' ? location.pathname : `?${text}`);
    this.#search = location.search;
  }

  /** Asks before leaving a page with unsaved input; returns the function that stops asking. */
  guard(mayLeave: () => boolean): () => void {
    this.#guard = mayLeave;
    return () => {
      if (this.#guard === mayLeave) this.#guard = null;
    };
  }

  /** Starts listening to links and the back button; returns the function that stops. */
  start(): () => void {
    const onPop = () => {
      if (!this.#leave()) {
        history.pushState(null, '', this.#path + this.#search);
        return;
      }
      this.#arrive(false);
    };
    const onClick = (event: MouseEvent) => {
      if (event.defaultPrevented || event.button !== 0) return;
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
      const link = (event.target as Element | null)?.closest('a');
      if (!link?.href || link.target || link.hasAttribute('download') || link.dataset.external !== undefined)
        return;
      const url = new URL(link.href);
      if (url.origin !== location.origin || url.pathname.startsWith('/api/')) return;
      if (url.pathname === location.pathname && url.hash) return;
      event.preventDefault();
      this.go(url.pathname + url.search);
    };
    addEventListener('popstate', onPop);
    document.addEventListener('click', onClick);
    return () => {
      removeEventListener('popstate', onPop);
      document.removeEventListener('click', onClick);
    };
  }

  #leave(): boolean {
    if (this.#guard && !this.#guard()) return false;
    this.#guard = null;
    return true;
  }

  #arrive(top: boolean): void {
    const moved = this.#path !== location.pathname;
    this.#path = location.pathname;
    this.#search = location.search;
    if (top && moved) scrollTo(0, 0);
  }
}

export const navigation = new Navigation();
