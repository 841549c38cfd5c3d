// An agent from the one line: a token in the form, the real agent enrols, its server appears by
// itself, is read by the agent, and is cut off when a person revokes it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { check, same, seen, until } from '../lib/checks.mjs';
import { button, field } from './common.mjs';

const program = () =>
  process.env.GANDER_AGENT_BIN ?? join(dirname(process.env.GANDER_HUB_BIN), 'gander-agent');

export async function agents({ page }) {
  await page.goto('/servers/new');
  await button(page, 'With the agent').click();
  await page.waitForURL(/way=agent/);
  await button(page, 'Make the install line').click();
  await until('a token without a name is refused at its field', () =>
    field(page, 'What is it for?').evaluate((input) => input.getAttribute('aria-invalid') === 'true'),
  );
  await field(page, 'What is it for?').fill('browser test');
  await field(page, 'Tags optional').fill('streaming');
  await button(page, 'Make the install line').click();
  const line = await page.locator('pre').innerText();
  const part = (name) => new RegExp(`--${name} ([^ ;]+)`).exec(line)?.[1];
  const authority = await (await page.request.get('/api/agents/authority')).json();
  same('the line carries the fingerprint of the authority', part('ca'), authority.sha256);
  check('the fingerprint can be read beside it', await page.getByText(authority.sha256).last().isVisible());
  check('the line carries a token', /^gde_\w{10,}$/.test(part('token') ?? ''), line);
  await seen('the page waits for the machine', page.getByText('Waiting for the machine…'));

  const directory = await mkdtemp(join(tmpdir(), 'gander-agent-'));
  const run = (...args) => {
    const child = spawn(program(), ['--state', directory, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (child.said += data));
    return child;
  };
  let stream;
  try {
    const enrol = run(...['enroll', '--hub', part('hub'), '--ca', part('ca'), '--token', part('token')]);
    await until('gander-agent enroll ends', () => enrol.exitCode !== null);
    same(`gander-agent enroll ended well: ${enrol.said.trim()}`, enrol.exitCode, 0);
    stream = run('run');
    // Another server of this run is the same machine: a person is asked, and the agent asks again.
    const pending = page.getByRole('button', { name: 'No, another machine' });
    const streams = page.getByText(/ streams\.$/).first();
    await until('its server appears in the page that waits', async () => {
      if (await pending.isVisible()) await pending.click();
      return streams.isVisible();
    });
    await page.getByRole('link', { name: 'Look at it' }).click();
    await page.waitForURL(/\/servers\/\d+$/);
    const facts = page
      .locator('section')
      .filter({ has: page.getByRole('heading', { name: 'About this server' }) });
    await until('its page says that the agent reads it', async () =>
      /Read by\s+agent/i.test(await facts.innerText()),
    );
    await seen('its tag', facts.getByRole('link', { name: 'streaming' }));

    await page.goto('/settings/agents');
    const row = page.getByRole('row').filter({ hasText: 'streams' });
    await seen('the agent streams, in the settings', row);
    const token = page.getByRole('row').filter({ hasText: 'browser test' });
    await until('its token is used up', async () => /1 \/ 1[\s\S]*used up/.test(await token.innerText()));
    await row.getByRole('button', { name: /^Revoke/ }).click();
    await button(page.getByRole('dialog'), 'Cancel').click();
    check('Cancel revokes nothing', await row.isVisible());
    await row.getByRole('button', { name: /^Revoke/ }).click();
    await button(page.getByRole('dialog'), 'Revoke').click();
    await until('a revoked agent is gone from the list', async () => (await row.count()) === 0);
    await token.getByRole('button').click();
    await button(page.getByRole('dialog'), 'Delete').click();
    await until('so is the deleted token', async () => (await token.count()) === 0);
  } finally {
    if (stream && stream.exitCode === null) {
      stream.kill('SIGTERM');
      await once(stream, 'exit');
    }
    await rm(directory, { recursive: true, force: true });
  }
}
