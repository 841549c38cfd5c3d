// A threshold is lowered, the alert comes by itself, and a person resolves it.

import { check, seen, until } from '../lib/checks.mjs';
import { admin, button, field, localServer, mark, marked } from './common.mjs';

export async function alerts({ page, context }) {
  const { id, name } = await localServer(page);
  const watcher = await context.newPage();
  await watcher.goto('/alerts');
  const alert = watcher.getByRole('listitem').filter({ hasText: `${name}: / is` });
  // A machine that builds something meanwhile may have an alert of its CPU.
  await seen('the page of alerts', watcher.getByRole('heading', { name: 'Alerts' }));
  check('none of this filesystem at first', (await alert.count()) === 0);
  await mark(watcher);

  await page.goto(`/servers/${id}/edit`);
  await field(page, 'Disk: Warning').fill('50');
  await field(page, 'Disk: Critical').fill('2');
  await button(page, 'Save changes').click();
  await seen(
    'critical below warning is refused at the field',
    page.getByText('Critical must not be below warning.'),
  );
  await field(page, 'Disk: Warning').fill('1');
  await button(page, 'Save changes').click();
  await seen('the lower threshold is saved', page.getByText('Saved.'));

  await seen('the alert appears in a page that was open already', alert);
  await until(
    'it is critical, and tells the value and the threshold',
    async () =>
      /Critical/.test(await alert.innerText()) &&
      /full, at or over the threshold of 2\.0\s*%/.test(await alert.innerText()),
  );
  check('the page was not loaded again for it', await marked(watcher));
  await until(
    'the navigation counts it',
    async () => Number(await watcher.getByRole('navigation').locator('.count').innerText()) >= 1,
  );

  await button(alert, 'Resolve').click();
  await button(watcher.getByRole('dialog'), 'Resolve 1 alert').click();
  await until('it leaves the open ones after Resolve', async () => (await alert.count()) === 0);
  if ((await watcher.getByRole('button', { name: 'Resolve all open' }).count()) > 0) {
    // Every filesystem alerts by itself; a machine may have more than one.
    await button(watcher, 'Resolve all open').click();
    await watcher
      .getByRole('dialog')
      .getByRole('button', { name: /^Resolve \d/ })
      .click();
  }
  await seen('none is open', watcher.getByText('No open alerts'));
  await button(watcher, 'Resolved').click();
  await seen('it is among the resolved', alert);
  await until('with the name of who resolved it', async () =>
    (await alert.innerText()).includes(`by ${admin.username}`),
  );
  await watcher.close();
}
