// docs/screenshots/*.png: the dashboard as it is, with real servers. tests/src/bin/screenshots.rs
// starts the servers and this. Nothing is drawn by hand: every value was read over SSH.

import { mkdir, stat } from 'node:fs/promises';
import { launch } from './lib/browser.mjs';
import { check, run, seen, sum, until } from './lib/checks.mjs';
import { Hub } from './lib/hub.mjs';
import { admin, button, card, field } from './flows/common.mjs';

const out = new URL('../../docs/screenshots/', import.meta.url).pathname;
const largest = 300 * 1024;
const fleet = JSON.parse(process.env.GANDER_BROWSER_FLEET);
const wanted = fleet.at(-1);

await mkdir(out, { recursive: true });
const hub = await Hub.start({
  GANDER_ADMIN_USER: admin.username,
  GANDER_ADMIN_PASSWORD: admin.password,
  GANDER_INTERVAL: '2s',
});
const browser = await launch();
const desk = { viewport: { width: 1280, height: 800 }, locale: 'en-GB', colorScheme: 'light' };
let session;

async function open(path, options = {}) {
  const context = await browser.newContext({
    baseURL: hub.url,
    storageState: session,
    ...desk,
    ...options,
  });
  const page = await context.newPage();
  await page.goto(path);
  return page;
}

async function shoot(page, name, options = {}) {
  await page.evaluate(() => document.fonts.ready);
  const path = `${out}${name}.png`;
  await page.screenshot({ path, animations: 'disabled', ...options });
  const { size } = await stat(path);
  check(`${name}.png is smaller than ${largest / 1024} KB`, size < largest, `${size} bytes`);
  await page.context().close();
}

async function send(method, path, data) {
  const context = await browser.newContext({ baseURL: hub.url, storageState: session });
  const answer = await context.request.fetch(path, { method, data, headers: { origin: hub.url } });
  const body = await answer.json().catch(() => null);
  if (!answer.ok()) throw new Error(`${method} ${path}: ${answer.status()} ${JSON.stringify(body)}`);
  session ??= await context.storageState();
  await context.close();
  return body;
}

const answering = (servers) =>
  servers.filter((server) => server.status === 'online' && server.latest?.cpu_usage !== null);

async function enrol() {
  await send('POST', '/api/login', admin);
  for (const [index, server] of fleet.slice(0, -1).entries()) {
    await send('POST', '/api/servers', {
      name: server.name,
      ip: server.ip,
      ssh_user: server.user,
      ssh_password: server.password,
      group: server.group,
      tags: server.tags,
      // Two of them alert, so that alerts can be seen.
      ...(index === 2 ? { disk_threshold: 30, disk_critical_threshold: 40 } : {}),
      ...(index === 4 ? { disk_threshold: 30, disk_critical_threshold: 99 } : {}),
    });
  }
  const down = await send('POST', '/api/servers', {
    name: 'mail-1',
    ip: '10.20.0.40',
    ssh_user: 'deploy',
    ssh_password: 'unused',
    group: 'Shanghai',
    tags: ['mail', 'production'],
  });
  await until('every server that is there is read, and one is down', async () => {
    const servers = await send('GET', '/api/servers');
    return (
      answering(servers).length === fleet.length &&
      servers.find(({ id }) => id === down.id).status === 'offline'
    );
  });
  await until('alerts of all kinds are open', async () => {
    const open = await send('GET', '/api/alerts?resolved=false');
    return ['disk', 'unreachable'].every((type) => open.some((alert) => alert.type === type));
  });
}

async function pictures() {
  const servers = await send('GET', '/api/servers');
  const web = servers.find((server) => server.name === 'web-1');

  // Charts need a history: it grows while somebody looks.
  const page = await open(`/servers/${web.id}`, { viewport: { width: 1280, height: 1050 } });
  await page.getByText('Live, 1-second steps').waitFor();
  await until('a minute and a half of history', async () => {
    const from = new Date(Date.now() - 600_000).toISOString();
    const answer = await send(
      'GET',
      `/api/servers/${web.id}/series?metrics=cpu.usage&points=600&from=${from}`,
    );
    const known = answer.times.filter((_, index) => answer.series[0].avg[index] !== null);
    return known.at(-1) - known[0] >= 90_000;
  });

  const dark = await open('/', { locale: 'zh-CN', colorScheme: 'dark' });
  await dark.getByRole('heading', { name: '服务器', level: 1 }).waitFor();
  await seen('the fleet in Chinese', card(dark, 'web-1').getByText('在线'));
  await shoot(dark, 'fleet-dark-zh');

  const light = await open('/');
  await seen('the fleet in English', card(light, 'web-1').getByText('Online'));
  await button(light, 'Table').click();
  await light.getByRole('row').filter({ hasText: 'web-1' }).waitFor();
  await shoot(light, 'fleet-light-en');

  // The span that has values, as a zoom chooses it.
  await page.goto(`/servers/${web.id}?from=${Date.now() - 100_000}&to=${Date.now()}`);
  await page.getByText('Live, 1-second steps').waitFor();
  await until('charts are drawn', async () => (await page.locator('.chart canvas').count()) >= 4);
  await shoot(page, 'server');

  const alerts = await open('/alerts');
  await alerts.getByText(/mail-1 cannot be read/).waitFor();
  await shoot(alerts, 'alerts');

  const form = await open('/servers/new', { viewport: { width: 1280, height: 900 } });
  const values = { Name: wanted.name, Address: wanted.ip, 'SSH user': 'deploy', Password: wanted.password };
  for (const [label, value] of Object.entries(values)) await field(form, label).fill(value);
  await button(form, 'Connect and check the host key').click();
  await seen('the question about the host key', form.getByText('Is this really your server?'));
  await button(form, 'The fingerprint is right: log in and test').scrollIntoViewIfNeeded();
  await form.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
  await shoot(form, 'add-server');

  const phone = await open('/', {
    viewport: { width: 390, height: 800 },
    isMobile: true,
    hasTouch: true,
    deviceScaleFactor: 2,
  });
  await seen('the fleet on a phone', phone.getByText('web-1').first());
  await shoot(phone, 'phone');
}

const onFailure = () => console.log(hub.tail());
let code = 1;
try {
  if (await run('Enrol the servers', enrol, onFailure)) await run('Pictures', pictures, onFailure);
} finally {
  await browser.close();
  await hub.remove();
  code = sum();
}
process.exit(code);
