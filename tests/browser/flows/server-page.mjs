// The page of one server: charts that are there, and that move.

import { check, seen, until } from '../lib/checks.mjs';
import { added } from './add-server.mjs';
import { mark, marked, serverCalled } from './common.mjs';

export async function serverPage({ page }) {
  const { id } = await serverCalled(page, added);
  await page.goto('/');
  await page.getByRole('link', { name: added, exact: true }).click();
  await page.waitForURL(`/servers/${id}`);
  await mark(page);
  await seen('one-second steps while somebody looks', page.getByText('Live, 1-second steps'));

  const cpu = page.locator('.chart').filter({ has: page.getByRole('heading', { name: 'CPU use' }) });
  await seen('the chart of CPU use', cpu.locator('canvas'));
  await until('it tells its figures in words, for who cannot see it', async () =>
    /least .+%, mean .+%, greatest .+%/.test((await cpu.getByRole('img').getAttribute('aria-label')) ?? ''),
  );
  const picture = () =>
    cpu.locator('canvas').evaluate((canvas) => {
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      let ink = 0;
      let hash = 0;
      for (let at = 0; at < data.length; at += 4) {
        if (data[at + 3] > 0) ink += 1;
        hash = (hash * 31 + data[at] + data[at + 1] + data[at + 2] + data[at + 3]) | 0;
      }
      return { ink, hash };
    });
  const first = await picture();
  check('something is drawn', first.ink > 500, first);
  await until('the drawing moves on by itself', async () => (await picture()).hash !== first.hash);

  const load = page.locator('.tile').filter({ hasText: 'Network' });
  const before = await load.innerText();
  await until('the values above the charts move', async () => (await load.innerText()) !== before);
  check('the page was not loaded again for it', await marked(page));

  for (const name of ['Memory', 'Load', 'Network traffic', 'Filesystem use']) {
    const chart = page.locator('.panel').filter({ has: page.getByRole('heading', { name, exact: true }) });
    await chart.first().scrollIntoViewIfNeeded();
    await seen(`the chart ${name}`, chart.locator('canvas'));
  }

  await page.getByRole('button', { name: '1 h', exact: true }).click();
  await page.waitForURL(/span=h1/);
  check('the chosen span is in the address', new URL(page.url()).searchParams.get('span') === 'h1');
  await seen('the charts of an hour', cpu.locator('canvas'));
  const facts = page
    .locator('section')
    .filter({ has: page.getByRole('heading', { name: 'About this server' }) });
  await until('kernel and system are told', async () => /Kernel\s+\S+/.test(await facts.innerText()));
  const filesystems = page.locator('section').filter({
    has: page.getByRole('heading', { name: 'Filesystems', exact: true }),
  });
  await seen('the root filesystem is listed', filesystems.getByText('/', { exact: true }));
}
