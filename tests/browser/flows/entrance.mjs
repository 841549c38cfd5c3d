// From the one-time link to the first live values.

import { check, same, seen, until } from '../lib/checks.mjs';
import { admin, button, card, field, fillLogin, localServer } from './common.mjs';

export async function firstStart({ hub, page, complaints }) {
  check('the hub printed a set-up link', hub.setupLink !== '', hub.tail());
  await complaints.expecting([/401.*\/api\/(session|login)/], async () => {
    await page.goto('/');
    await seen(
      'without a user the page explains the set-up link',
      page.getByText('This hub has no users yet'),
    );
    await page.goto(hub.setupLink);
    // Only the part behind the # differs when one is there already.
    await page.reload();
    await field(page, 'User name').fill(admin.username);
    await field(page, 'Password').fill('short');
    await field(page, 'Repeat the password').fill('short');
    await button(page, 'Create admin and log in').click();
    await until('a password that is too short is refused at its field', async () =>
      field(page, 'Password').evaluate((input) => input.getAttribute('aria-invalid') === 'true'),
    );
    await field(page, 'Password').fill(admin.password);
    await field(page, 'Repeat the password').fill(`${admin.password}!`);
    await button(page, 'Create admin and log in').click();
    await seen('two different passwords are refused', page.getByText('The two passwords differ.'));
    await field(page, 'Repeat the password').fill(admin.password);
    await button(page, 'Create admin and log in').click();
    await seen('the fleet after the set-up', page.getByRole('heading', { name: 'Servers', level: 1 }));
    same('the token is out of the address', new URL(page.url()).hash, '');
  });
}

export async function logIn({ hub, page, complaints }) {
  await complaints.expecting([/401.*\/api\/(session|login)/], async () => {
    await page.getByLabel('Account', { exact: true }).click();
    await button(page, 'Log out').click();
    await seen('the log-in after logging out', button(page, 'Log in'));
    await page.goto('/alerts');
    await fillLogin(page, { ...admin, password: 'a wrong password' });
    await seen('a wrong password is told', page.getByText(/name or the password is wrong/));
    same('the user name is kept', await field(page, 'User name').inputValue(), admin.username);
    await fillLogin(page, admin);
    await seen('the page that was asked for', page.getByRole('heading', { name: 'Alerts', level: 1 }));
  });
  const cookies = await page.context().cookies();
  const session = cookies.find((cookie) => cookie.name.includes('gander'));
  check(
    'the session cookie is HttpOnly and SameSite=Strict',
    session?.httpOnly === true && session.sameSite === 'Strict',
    cookies.map(({ name, httpOnly, sameSite }) => ({ name, httpOnly, sameSite })),
  );
  const again = await page.request.post('/api/setup', {
    headers: { origin: hub.url },
    data: { token: hub.setupLink.split('=')[1], username: 'second', password: admin.password },
  });
  check('the set-up link works once only', again.status() >= 400, again.status());
}

export async function localServerLive({ page }) {
  await page.goto('/');
  const { name } = await localServer(page);
  const own = card(page, name);
  await seen("the hub's own machine has a card", own);
  await seen('it is online', own.getByText('Online'));
  await until(
    'it shows CPU, memory and disk in percent',
    async () =>
      (await own.locator('.meters dd').allTextContents()).filter((text) => /\d\s*%/.test(text)).length === 3,
  );
  const before = await own.innerText();
  await until('its values move without a reload', async () => (await own.innerText()) !== before);
  await seen('the connection says Live', page.getByRole('status').getByText('Live', { exact: true }));
}
