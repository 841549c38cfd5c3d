// A fleet pasted in: what it is is recognised, the preview says why, a test runs, one row is imported.

import { check, same, seen, until } from '../lib/checks.mjs';
import { button, field, serverCalled, servers } from './common.mjs';

export async function importing({ page, hub, peer }) {
  const before = (await servers(page)).length;
  await page.goto('/');
  await page.getByRole('link', { name: 'Import', exact: true }).click();
  await seen('the page', page.getByRole('heading', { name: 'Import servers' }));
  await button(page, 'Preview').click();
  await seen('nothing given is said', page.getByText('Paste something, or choose a file.'));

  const table = [
    'name,address,port,user,password,jump',
    `imported-1,${peer.host},${peer.port},${peer.user},${peer.password},`,
    `imported-2,${peer.host}.invalid,0,${peer.user},x,`,
    'imported-3,192.0.2.77,,nobody,x,imported-2',
  ].join('\n');
  await field(page, 'Paste here').fill(table);
  await button(page, 'Preview').click();
  await seen('what it is', page.getByText('table (CSV)'));
  const row = (name) => page.getByRole('row').filter({ hasText: name });
  await seen('the wrong port with its value', row('imported-2').getByText(/ssh_port is “0”/));
  const known = (await servers(page)).some(
    (server) => server.ip === peer.host && server.ssh_port === peer.port,
  );
  if (known) {
    // The flow before added this machine: it is recognised by its address.
    await seen('an enrolled machine is not added twice', row('imported-1').getByText(/Enrolled already/));
    check('and cannot be selected', await row('imported-1').getByRole('checkbox').isDisabled());
    await field(page, 'Paste here').fill(table.replace(/imported-1,[^,]+,\d+/, 'imported-1,192.0.2.78,22'));
    await button(page, 'Preview').click();
  }
  await until('the first row is selected', () => row('imported-1').getByRole('checkbox').isChecked());
  check('what is reached through a wrong row is skipped', await row('imported-3').getByRole('checkbox').isDisabled());
  await button(page, 'Import 1').click();
  await seen('the result', page.getByText('1 added, 0 changed.'));
  same('one server more', (await servers(page)).length, before + 1);
  const made = await serverCalled(page, 'imported-1');
  const gone = await page.request.delete(`/api/servers/${made.id}`, {
    headers: { origin: hub.url },
  });
  same('it is removed again', gone.status(), 204);
}
