// The dashboard's main flows in a real browser, against a real hub and a real sshd.
// `make test ONLY=browser` runs it; tests/src/bin/browser.rs starts the sshd and this.
// GANDER_BROWSER_ONLY="Zoom, Alerts" runs these and what they cannot go without; those that need no
// sshd run with `GANDER_HUB_BIN=target/debug/gander-hub node tests/browser/main.mjs`.

import { mkdir, writeFile } from 'node:fs/promises';
import { launch, Complaints } from './lib/browser.mjs';
import { check, patience, run, same, sum } from './lib/checks.mjs';
import { Hub } from './lib/hub.mjs';
import { accessible } from './flows/accessible.mjs';
import { addServer } from './flows/add-server.mjs';
import { agents } from './flows/agents.mjs';
import { alerts } from './flows/alerts.mjs';
import { data } from './flows/data.mjs';
import { firstStart, logIn, localServerLive } from './flows/entrance.mjs';
import { fleetViews, oldAddresses, phone } from './flows/fleet.mjs';
import { importing } from './flows/import.mjs';
import { offline } from './flows/offline.mjs';
import { language, theme } from './flows/preferences.mjs';
import { serverPage } from './flows/server-page.mjs';
import { viewer } from './flows/viewer.mjs';
import { zoom } from './flows/zoom.mjs';

const out = new URL('./out/', import.meta.url).pathname;
const peer = JSON.parse(process.env.GANDER_BROWSER_PEER ?? 'null');
const only = process.env.GANDER_BROWSER_ONLY?.split(',').map((name) => name.trim());

const hub = await Hub.start();
const browser = await launch();
const complaints = new Complaints();
async function newContext(options = {}) {
  const context = await browser.newContext({
    baseURL: hub.url,
    locale: 'en-GB',
    colorScheme: 'light',
    viewport: { width: 1280, height: 900 },
    acceptDownloads: true,
    ...options,
  });
  context.setDefaultTimeout(patience);
  await complaints.watch(context);
  return context;
}
const context = await newContext();
const page = await context.newPage();
/** What every flow gets. `page` is the admin's. */
const stage = { hub, peer, page, context, newContext, complaints };

async function onFailure(name) {
  await mkdir(out, { recursive: true });
  const file = `${out}${name.replace(/\W+/g, '-').toLowerCase()}`;
  await page.screenshot({ path: `${file}.png` }).catch(() => undefined);
  await writeFile(`${file}.log`, hub.log.join('\n'));
  console.log(`  the page as it was: ${file}.png, the hub's log: ${file}.log`);
}

let code = 1;
try {
  const flows = {
    'First start': firstStart,
    'Log in': logIn,
    "The hub's own machine": localServerLive,
    'Add a server': addServer,
    'Import a fleet': importing,
    'Server page': serverPage,
    Zoom: zoom,
    'Cards and table': fleetViews,
    Agents: agents,
    Alerts: alerts,
    'Data management': data,
    Language: language,
    'Dark and light': theme,
    'Addresses of the first version': oldAddresses,
    'For everybody': accessible,
    'A viewer': viewer,
    'On a phone': phone,
    'The hub goes and comes back': offline,
  };
  for (const name of only ?? []) if (!flows[name]) throw new Error(`there is no flow called ${name}`);
  for (const [name, flow] of Object.entries(flows)) {
    const needed = [firstStart, logIn].includes(flow) || (peer !== null && flow === addServer);
    if (only && !needed && !only.includes(name)) continue;
    const fine = await run(name, () => flow(stage), onFailure);
    // Without a log-in or a server none of the others can pass.
    if (!fine && [firstStart, logIn, addServer].includes(flow)) break;
  }
  await run(
    'The whole time',
    async () => {
      same('no console error, no uncaught exception, no violation of the policy', complaints.found, []);
      same('nothing was asked of any host but the hub', [...complaints.requests], [hub.url]);
      const panics = hub.log.filter((line) => /panicked/.test(line));
      check('the hub did not panic', panics.length === 0, panics);
    },
    onFailure,
  );
} finally {
  await browser.close();
  await hub.remove();
  code = sum();
}
process.exit(code);
