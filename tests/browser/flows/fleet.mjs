// The fleet page: cards, table, search, old addresses, and a narrow screen.

import { same, seen, until } from '../lib/checks.mjs';
import { added } from './add-server.mjs';
import { button, card, localServer, serverCalled } from './common.mjs';

export async function fleetViews({ page }) {
  const local = (await localServer(page)).name;
  await page.goto('/');
  await seen('cards at first', card(page, added));
  await seen('in a card its last hour, in words', card(page, added).getByRole('img', { name: /^CPU, last hour: .*%/ }));
  await button(page, 'Overview of the last hour').click();
  const overview = page.getByRole('region', { name: 'The last hour' });
  await seen('the overview names who has most CPU', overview.getByRole('listitem').first());
  await button(overview, 'Memory').click();
  await seen('and memory after a click', overview.getByRole('img', { name: /^Memory, last hour: / }));
  await button(overview, 'CPU').click();
  await button(page, 'Overview of the last hour').click();
  same('a second click takes the overview away', await overview.count(), 0);
  await button(page, 'Table').click();
  const row = page.getByRole('row').filter({ hasText: added });
  await seen('a row for each server after Table', row);
  same('and no card', await page.getByRole('article').count(), 0);
  await until(
    'the row has CPU, memory and disk',
    async () => ((await row.innerText()).match(/%/g) ?? []).length >= 3,
  );
  await page.reload();
  await seen('the table again after a reload', row);

  await page.getByRole('searchbox').fill('staging');
  await until(
    'a search by tag leaves only what has it',
    async () =>
      (await page.getByRole('link', { name: local, exact: true }).count()) === 0 && (await row.count()) === 1,
  );
  await page.getByRole('searchbox').fill('nothing has this name');
  await seen('a search without result says so', page.getByText('No server matches'));
  await page.getByRole('button', { name: 'Clear filters' }).first().click();
  await seen('everything again without filters', page.getByRole('link', { name: local, exact: true }));
  await button(page, 'Cards').click();
  await seen('cards again', card(page, added));
}

export async function oldAddresses({ page }) {
  for (const [address, heading] of [
    ['/monitoring.html', 'Servers'],
    ['/data-management.html', 'Data'],
    ['/index.html', 'Servers'],
  ]) {
    const answer = await page.goto(address);
    same(`${address} answers 200`, answer.status(), 200);
    await seen(
      `${address} shows ${heading}`,
      page.getByRole('heading', { name: heading, level: 1, exact: true }),
    );
  }
}

export async function phone({ newContext, context, page }) {
  const { id } = await serverCalled(page, added);
  const small = await newContext({
    viewport: { width: 360, height: 740 },
    isMobile: true,
    hasTouch: true,
    storageState: await context.storageState(),
  });
  const tab = await small.newPage();
  for (const address of [
    '/',
    `/servers/${id}`,
    '/servers/new',
    '/alerts',
    '/data-management',
    '/events',
    '/settings',
  ]) {
    await tab.goto(address);
    await tab.getByRole('heading', { level: 1 }).first().waitFor();
    await until(`${address} fits into 360 points without scrolling sideways`, () =>
      tab.evaluate(
        () => document.documentElement.scrollWidth <= innerWidth && document.body.innerText.length > 40,
      ),
    );
  }
  await small.close();
}
