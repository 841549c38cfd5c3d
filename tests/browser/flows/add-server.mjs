// A server through the form: mistakes at their fields, the host key, a wrong password, the right one.

import { readFile } from 'node:fs/promises';
import { check, same, seen, until } from '../lib/checks.mjs';
import { button, card, field, localServer, serverCalled } from './common.mjs';

export const added = 'sandbox-1';

export async function addServer({ page, peer, complaints }) {
  await page.goto('/');
  await page.getByRole('link', { name: 'Add a server' }).click();
  await seen('the form', page.getByRole('heading', { name: 'Add a server' }));

  const connect = button(page, 'Connect and check the host key');
  await connect.click();
  for (const label of ['Address', 'SSH user', 'Password']) {
    await until(`${label}, left empty, is marked`, () =>
      field(page, label).evaluate((input) => input.getAttribute('aria-invalid') === 'true'),
    );
  }
  await until('the first wrong field has the focus', () =>
    page.evaluate(() => document.activeElement?.getAttribute('aria-invalid') === 'true'),
  );

  const typed = {
    // A name that is taken: refused later, when it is saved.
    Name: (await localServer(page)).name,
    Address: peer.host,
    'SSH port': String(peer.port),
    'SSH user': peer.user,
    Password: `not ${peer.password}`,
    'Group optional': 'Browser tests',
    'Tags optional': 'web, staging',
  };
  for (const [label, value] of Object.entries(typed)) await field(page, label).fill(value);
  await connect.click();

  await seen('the question about the host key', page.getByText('Is this really your server?'));
  const offered = page.locator('.offered');
  const shown = await offered.locator('.fingerprint').innerText();
  const algorithm = (await offered.locator('.faint').last().innerText()).trim();
  same('the fingerprint is what ssh-keygen -lf prints', shown.trim(), peer.fingerprints[algorithm]);
  const tried = (await readFile(peer.log, 'utf8')).match(/^(Accepted|Failed) .*/m);
  same('no log-in was tried before the answer', tried, null);

  await button(page, 'The fingerprint is right: log in and test').click();
  const refused = page.getByText(new RegExp(`refused the password of ${peer.user}`));
  await seen('the wrong password is told in words', refused);
  check(
    'it is told beside the button that tests',
    (await page.locator('section').filter({ has: refused }).getByRole('button', { name: 'Test' }).count()) ===
      1,
  );
  const kept = {};
  for (const label of Object.keys(typed)) kept[label] = await field(page, label).inputValue();
  same('nothing that was typed is lost', kept, typed);

  await field(page, 'Password').fill(peer.password);
  await button(page, 'Test').click();
  await seen('the log-in works', page.getByText('Logged in and read in'));
  const save = button(page, 'Save and start watching');
  await complaints.expecting([/409.*\/api\/servers/], async () => {
    await save.click();
    await seen('a taken name is told', page.locator('.field .error').getByText(/already in use/));
  });
  same('at its field', await field(page, 'Name').getAttribute('aria-invalid'), 'true');
  same('and the password is still there', await field(page, 'Password').inputValue(), peer.password);
  await field(page, 'Name').fill(added);
  await save.click();

  await seen('it is watched', page.getByText(`${added} is being watched.`));
  await page.waitForURL(/\/servers\/\d+$/);
  const server = await serverCalled(page, added);
  same('the pinned key is the one that was shown', server.host_key.fingerprint, shown.trim());
  same('tags and group', [server.tags, server.group], [['web', 'staging'], 'Browser tests']);
  check('the answer holds no password', !JSON.stringify(server).includes(peer.password));
  await page.goto('/');
  await seen('its card is online', card(page, added).getByText('Online'));
}
