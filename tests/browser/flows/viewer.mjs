// A viewer sees everything and changes nothing.

import { same, seen } from '../lib/checks.mjs';
import { added } from './add-server.mjs';
import { button, card, field, fillLogin, serverCalled } from './common.mjs';

const account = { username: 'watcher', password: 'another long password' };

export async function viewer({ hub, page, newContext, complaints }) {
  const { id } = await serverCalled(page, added);
  await page.goto('/settings/users');
  await button(page, 'Add user').click();
  const dialog = page.getByRole('dialog');
  await field(dialog, 'User name').fill(account.username);
  await field(dialog, 'Password').fill(account.password);
  await field(dialog, 'Role').selectOption('viewer');
  await button(dialog, 'Add user').click();
  await seen('the viewer is made', page.getByText(`${account.username} may log in now.`));

  const context = await newContext();
  const tab = await context.newPage();
  await complaints.expecting([/401.*\/api\/(session|login)/], async () => {
    await tab.goto('/');
    await fillLogin(tab, account);
    await seen('the viewer sees the servers', card(tab, added));
  });
  same('no Add a server', await tab.getByRole('link', { name: 'Add a server' }).count(), 0);
  await tab.goto(`/servers/${id}`);
  await seen('the viewer sees charts', tab.locator('.chart canvas'));
  same('no Edit', await tab.getByRole('link', { name: 'Edit', exact: true }).count(), 0);
  for (const name of ['Refresh', 'Test', 'Pause', 'Delete']) {
    same(`${name} is locked`, await button(tab, name).isDisabled(), true);
  }
  await tab.goto('/servers/new');
  await seen('the form is refused', tab.getByText('Only an admin may do this.'));
  await tab.goto('/data-management');
  await seen(
    'the viewer sees recorded values',
    tab.getByRole('heading', { name: 'Recorded values', exact: true }),
  );
  same('no deletion', await tab.getByRole('heading', { name: 'Delete recorded values' }).count(), 0);
  await tab.goto('/settings/users');
  await seen('the users are refused', tab.getByText('Only an admin may do this.'));

  // The page is a courtesy; the hub is what refuses.
  const headers = { origin: hub.url };
  const attempts = {
    'deleting a server': tab.request.delete(`/api/servers/${id}`, { headers }),
    'changing a server': tab.request.patch(`/api/servers/${id}`, { headers, data: { name: 'mine' } }),
    'deleting values': tab.request.delete('/api/metrics', { headers }),
    'making a user': tab.request.post('/api/users', {
      headers,
      data: { username: 'x', password: account.password, role: 'admin' },
    }),
  };
  for (const [what, attempt] of Object.entries(attempts)) {
    same(`the hub refuses ${what} with 403`, (await attempt).status(), 403);
  }
  await context.close();
}
