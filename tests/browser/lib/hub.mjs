// The real hub program in a directory of its own.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export class Hub {
  /** Everything it printed, over all its starts. */
  log = [];
  url = '';
  setupLink = '';
  #child = null;
  #directory;
  #environment;
  #listen = '127.0.0.1:0';

  static async start(environment = {}) {
    const hub = new Hub();
    hub.#directory = await mkdtemp(join(tmpdir(), 'gander-browser-'));
    hub.#environment = environment;
    await hub.startAgain();
    return hub;
  }

  /** Starts it in the same directory, on the same port as before. */
  async startAgain() {
    const program = process.env.GANDER_HUB_BIN;
    if (!program) throw new Error('GANDER_HUB_BIN does not say where the hub program is');
    const child = spawn(program, ['serve'], {
      cwd: this.#directory,
      env: {
        PATH: process.env.PATH,
        DATABASE_PATH: join(this.#directory, 'gander.db'),
        GANDER_HTTP_LISTEN: this.#listen,
        GANDER_GRPC_LISTEN: '127.0.0.1:0',
        GANDER_LOG_FORMAT: 'json',
        GANDER_INTERVAL: '1s',
        ...this.#environment,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`the hub ended with ${code}:\n${this.tail()}`)));
      for (const stream of [child.stdout, child.stderr]) {
        createInterface({ input: stream }).on('line', (line) => {
          this.log.push(line);
          const url = /http:\/\/127\.0\.0\.1:[0-9]+/.exec(line)?.[0];
          const link = /\/setup#token=[\w-]+/.exec(line)?.[0];
          if (link) this.setupLink = link;
          if (url && !this.url) this.url = url;
          if (/listen/i.test(line) && url) resolve();
        });
      }
    });
    this.#listen = this.url.slice('http://'.length);
  }

  /** Ends it as systemd does. */
  async stop() {
    const child = this.#child;
    this.#child = null;
    if (!child || child.exitCode !== null) return;
    child.removeAllListeners('exit');
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  }

  async remove() {
    await this.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }

  tail(lines = 25) {
    return this.log.slice(-lines).join('\n');
  }
}
