// Every page under axe-core, as it is for whoever cannot see it or sees little: names, roles, contrast,
// in both appearances; and the fleet page by keyboard alone.

import { readFile } from 'node:fs/promises';
import { check, same, seen, until } from '../lib/checks.mjs';
import { added } from './add-server.mjs';
import { localServer, servers } from './common.mjs';

const axe = await readFile(new URL('../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');

/** What axe-core finds wrong on the page as it is: the rule, and the first element it is about. */
async function faults(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() =>
    globalThis.axe.run(document, { resultTypes: ['violations'] }),
  );
  return violations.map(({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 160)}`);
}

export async function accessible({ page, peer, context, newContext, complaints }) {
  const { id } = await localServer(page);
  const addresses = [
    '/',
    `/servers/${id}`,
    `/servers/${id}/edit`,
    '/servers/new',
    '/servers/new?way=agent',
    '/alerts',
    '/data-management',
    '/events',
    '/settings',
    '/settings/users',
    '/settings/tokens',
    '/settings/agents',
    '/settings/about',
    '/servers/999999',
  ];
  const storageState = await context.storageState();
  await complaints.expecting([/status of 404/, /status of 401.*api.session/], async () => {
    for (const [look, options] of [
      ['light', {}],
      [
        'dark, Chinese, on a phone',
        {
          colorScheme: 'dark',
          locale: 'zh-CN',
          viewport: { width: 390, height: 844 },
        },
      ],
    ]) {
      const other = await newContext({ ...options, storageState });
      const tab = await other.newPage();
      for (const address of addresses) {
        await tab.goto(address);
        await tab.getByRole('heading', { level: 1 }).first().waitFor();
        await until(`${address} has loaded (${look})`, () =>
          tab.evaluate(() => document.querySelector('.skeleton') === null),
        );
        same(`axe-core has nothing against ${address} (${look})`, await faults(tab), []);
      }
      await other.close();
    }
    const outside = await newContext();
    const tab = await outside.newPage();
    await tab.goto('/');
    await tab.locator('input[type=password]').waitFor();
    same('nor against the log-in', await faults(tab), []);
    await outside.close();
  });

  await page.goto('/');
  await page.evaluate(() => localStorage.setItem('gander.fleet-view', 'table'));
  await page.reload();
  const name = peer ? added : (await servers(page))[0].name;
  const link = page.getByRole('link', { name, exact: true });
  await seen('the table', link);
  await page.keyboard.press('Tab');
  same('Tab begins at the way past the navigation', await focused(page), 'Skip to content');
  let steps = 0;
  while (!(await page.evaluate(() => document.activeElement?.closest('tbody') !== null)) && steps++ < 60)
    await page.keyboard.press('Tab');
  check('Tab reaches the rows', steps < 60);
  await page.keyboard.press('End');
  const last = await focused(page);
  await page.keyboard.press('Home');
  const first = await focused(page);
  check(
    'End and Home go to the last row and the first',
    peer === null || first !== last,
    `${first}, ${last}`,
  );
  await page.keyboard.press('Enter');
  await until('Enter opens the server', async () => /\/servers\/[0-9]+$/.test(page.url()));
  await seen('its page', page.getByRole('heading', { level: 1, name: first }));
  await page.evaluate(() => localStorage.removeItem('gander.fleet-view'));
}

const focused = (page) => page.evaluate(() => document.activeElement?.textContent?.trim() ?? '');
