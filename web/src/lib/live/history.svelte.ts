// The last hour of one metric of every server, for the fleet page: one request at first, then once a
// minute only the steps that have come since. Nothing is asked while nobody looks.

import { api, query } from '$lib/api/client';
import { clock } from '$lib/clock.svelte';
import { fleetMetrics, merge, type FleetMetric, type History, type HistoryAnswer } from '$lib/fleet-history';
import { fleet } from './fleet.svelte';

const hour = 3_600_000;
const every = 60_000;
/** Late values of an agent that was cut off fall into steps of before: so often all of them are asked for. */
const anew = 15;

class FleetHistory {
  value = $state.raw<History | null>(null);
  error = $state.raw<unknown>(null);
  #metric: FleetMetric | null = null;
  #asked = 0;
  #round = 0;
  #abort: AbortController | null = null;

  /** Keeps the history of `metric` until the returned function is called. */
  start(metric: FleetMetric): () => void {
    if (this.#metric !== metric) {
      this.value = null;
      this.#metric = metric;
      this.#asked = 0;
    }
    const soon = () => {
      if (!document.hidden && Date.now() - this.#asked >= every) this.load();
    };
    soon();
    const timer = setInterval(soon, 5_000);
    document.addEventListener('visibilitychange', soon);
    return () => {
      clearInterval(timer);
      document.removeEventListener('visibilitychange', soon);
      this.#abort?.abort();
    };
  }

  /** Asks for what is new, or for everything where nothing is known. */
  readonly load = (): void => {
    const name = this.#metric;
    if (name === null) return;
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    const away = Date.now() - this.#asked > 10 * every;
    if (away || ++this.#round >= anew) this.#round = 0;
    const known = this.#round === 0 ? null : this.value;
    this.#asked = Date.now();
    const since = clock.hubNow - hour;
    const last = known?.times.at(-1);
    const span =
      known && last !== undefined
        ? { from: new Date(last).toISOString(), step: known.stepMs / 1000 }
        : { hours: 1, points: fleet.size > 2000 ? 30 : 60 };
    const asked = query('/api/fleet/series', { metric: fleetMetrics[name].metric, values: 'mean', ...span });
    api.get<HistoryAnswer>(asked, { signal: abort.signal }).then(
      (answer) => {
        if (abort.signal.aborted) return;
        this.value = merge(known, answer, since);
        this.error = null;
      },
      (error: unknown) => {
        if (abort.signal.aborted) return;
        this.#asked = 0;
        this.#round = 0;
        this.error = error;
      },
    );
  };

  /** Forgets everything: the person has logged out. */
  clear(): void {
    this.#abort?.abort();
    this.#metric = null;
    this.value = null;
    this.error = null;
  }
}

export const fleetHistory = new FleetHistory();
