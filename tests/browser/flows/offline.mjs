// The hub goes away while the page is open, and comes back.

import { check, seen, until } from '../lib/checks.mjs';
import { added } from './add-server.mjs';
import { card, mark, marked } from './common.mjs';

export async function offline({ hub, page, complaints }) {
  await page.goto('/');
  const state = page.locator('header').getByRole('status');
  await seen('Live', state.getByText('Live', { exact: true }));
  await mark(page);

  await complaints.expecting([/ERR_|WebSocket|50[0-9]|net::/], async () => {
    await hub.stop();
    await seen('the loss is announced', page.getByRole('alert').getByText('No connection to the hub.'));
    await seen('the connection says Offline', state.getByText('Offline', { exact: true }));
    await until('the old values look old', () => page.locator('.stale').first().isVisible());
    check('they are still to be seen', await card(page, added).isVisible());

    await hub.startAgain();
    await seen('Live again, without a hand', state.getByText('Live', { exact: true }));
  });
  await until(
    'the warning is gone',
    async () => (await page.getByText('No connection to the hub.').count()) === 0,
  );
  check('the page was not loaded again and nobody had to log in', await marked(page));
  const own = card(page, added);
  await seen('the server is online after the restart', own.getByText('Online'));
  const before = await own.innerText();
  await until('its values move again', async () => (await own.innerText()) !== before);
}
