// The one clock: every "12 s ago" on the page reads it, and it stands still while nobody looks.

class Clock {
  /** Milliseconds since 1970 by this browser, to the second. */
  now = $state(Date.now());
  /** The hub's clock minus this browser's, in milliseconds: ages are told by the hub's clock. */
  #offset = $state(0);

  /** Now, by the hub's clock. */
  get hubNow(): number {
    return this.now + this.#offset;
  }

  /** Learns the hub's time from a message that has just come. */
  learn(hubTime: number): void {
    const offset = hubTime - Date.now();
    // A second more or less is the network, not the clock.
    if (Math.abs(offset - this.#offset) > 1500) this.#offset = Math.abs(offset) > 1500 ? offset : 0;
  }

  start(): () => void {
    const tick = () => (this.now = Date.now());
    let timer = setInterval(tick, 1000);
    const onVisibility = () => {
      clearInterval(timer);
      if (document.hidden) return;
      tick();
      timer = setInterval(tick, 1000);
    };
    document.addEventListener('visibilitychange', onVisibility);
    return () => {
      clearInterval(timer);
      document.removeEventListener('visibilitychange', onVisibility);
    };
  }
}

export const clock = new Clock();
