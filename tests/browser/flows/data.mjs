// Recorded values: look at them, take them away, delete them.

import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { check, same, seen, until } from '../lib/checks.mjs';
import { added } from './add-server.mjs';
import { button, field, localServer, serverCalled } from './common.mjs';

async function download(page, link) {
  const [file] = await Promise.all([page.waitForEvent('download'), link.click()]);
  return { name: file.suggestedFilename(), path: await file.path() };
}

async function count(page, serverId) {
  const answer = await page.request.get(`/api/metrics/count?server_id=${serverId}`);
  return (await answer.json()).count;
}

export async function data({ page }) {
  const server = await serverCalled(page, added);
  const local = await localServer(page);
  await page.goto('/data-management');
  const rows = page
    .locator('section')
    .filter({ has: page.getByRole('heading', { name: 'Recorded values', exact: true }) });
  await field(rows, 'Server').selectOption({ label: added });
  await button(rows, 'Show').click();
  await until('rows of the chosen server only, with values', async () => {
    const texts = await rows.locator('tbody tr').allInnerTexts();
    return texts.length > 0 && texts.every((text) => text.includes(added) && text.includes('%'));
  });

  const sheet = await download(page, rows.getByRole('link', { name: 'Values · Excel' }));
  check('the workbook is called .xlsx', sheet.name.endsWith('.xlsx'), sheet.name);
  const parts = execFileSync('unzip', ['-Z1', sheet.path], { encoding: 'utf8' }).split('\n');
  const part = parts.find((name) => /^xl\/worksheets\/.*\.xml$/.test(name));
  check('it is a ZIP with a worksheet', part !== undefined && parts.includes('[Content_Types].xml'), parts);
  execFileSync('unzip', ['-tqq', sheet.path]);
  const xml = execFileSync('unzip', ['-p', sheet.path, part], { encoding: 'utf8', maxBuffer: 64 << 20 });
  const all = execFileSync('unzip', ['-p', sheet.path], { encoding: 'latin1', maxBuffer: 64 << 20 });
  for (const heading of ['CPU', 'Memory', 'Server']) {
    check(`the header names ${heading}`, all.includes(heading));
  }
  check('the rows name the server', all.includes(added));
  // A number is a cell with a value and without a text type.
  const numbers = [...xml.matchAll(/<c\b([^>]*)><v>([-0-9.eE]+)<\/v>/g)].filter(
    ([, type]) => !/t="s/.test(type),
  );
  check(
    'values are numbers, not text',
    numbers.length >= 5,
    `${numbers.length} numeric cells in ${xml.slice(0, 600)}`,
  );

  const csv = await download(page, rows.getByRole('link', { name: 'Values · CSV' }));
  const lines = (await readFile(csv.path, 'utf8'))
    .replace(/^\uFEFF/, '')
    .trim()
    .split(/\r?\n/);
  check(
    'the CSV has a header and rows',
    csv.name.endsWith('.csv') && /CPU/.test(lines[0]) && lines.length > 1,
    lines[0],
  );
  const widths = new Set(lines.map((line) => line.split(',').length));
  check('every line of it has as many fields', widths.size === 1, [...widths]);

  const others = await count(page, local.id);
  const section = page.locator('section').filter({
    has: page.getByRole('heading', { name: 'Delete recorded values' }),
  });
  await field(section, 'Of').selectOption({ label: added });
  await field(section, 'Older than').selectOption({ label: 'Everything' });
  await button(section, 'Count').click();
  const preview = section.getByText(/samples would be deleted\./);
  await seen('how many would be deleted, before anything is', preview);
  const announced = Number((await preview.innerText()).replace(/\D/g, ''));
  check('as many as there are', announced > 0 && announced <= (await count(page, server.id)), announced);

  await section.getByRole('button', { name: 'Delete…' }).click();
  const dialog = page.getByRole('dialog');
  const doIt = button(dialog, 'Delete');
  same('Delete is locked before the word is typed', await doIt.isDisabled(), true);
  await button(dialog, 'Cancel').click();
  await until('Cancel deletes nothing', async () => (await count(page, server.id)) >= announced);
  await section.getByRole('button', { name: 'Delete…' }).click();
  await field(dialog, 'Type delete to confirm').fill('delete');
  await doIt.click();
  const done = section.getByText(/samples deleted\./);
  await seen('the deletion is told', done);
  const deleted = Number((await done.innerText()).replace(/\D/g, ''));
  check('at least what was announced is deleted', deleted >= announced, { announced, deleted });
  check("the other server's values are still there", (await count(page, local.id)) >= others);
}
