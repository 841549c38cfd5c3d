// The real browser, and a record of everything it complains about.

import { chromium } from 'playwright-core';

export async function launch() {
  return chromium.launch({
    executablePath: process.env.GANDER_BROWSER ?? '/usr/bin/chromium',
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/** Collects console errors, uncaught exceptions, policy violations and requests to other hosts. */
export class Complaints {
  found = [];
  requests = new Set();
  #expected = [];

  /** Complaints that match are what a flow brings about on purpose. */
  async expecting(patterns, body) {
    this.#expected.push(...patterns);
    try {
      return await body();
    } finally {
      this.#expected = this.#expected.filter((pattern) => !patterns.includes(pattern));
    }
  }

  async watch(context) {
    await context.addInitScript(() => {
      addEventListener('securitypolicyviolation', (event) =>
        console.error(`policy violation: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`),
      );
    });
    context.on('page', (page) => {
      page.on('console', (message) => {
        if (message.type() === 'error') this.#take(`${message.text()} [${message.location().url}]`);
      });
      page.on('pageerror', (error) => this.#take(`uncaught: ${error.stack ?? error}`));
      page.on('request', (request) => this.requests.add(new URL(request.url()).origin));
    });
  }

  #take(text) {
    if (!this.#expected.some((pattern) => pattern.test(text))) this.found.push(text);
  }
}
