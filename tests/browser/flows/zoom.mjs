// Charts under wheel, mouse, fingers and keys: the address follows, the old picture stays until the new one is there.

import { check, same, seen, until } from '../lib/checks.mjs';
import { button, localServer } from './common.mjs';

export async function zoom({ page, newContext, context }) {
  const { id } = await localServer(page);
  await page.goto(`/servers/${id}`);
  const cpu = page.locator('.chart').filter({ has: page.getByRole('heading', { name: 'CPU use' }) });
  await seen('the chart of CPU use', cpu.locator('canvas'));
  const hand = cpu.getByRole('application');
  const span = () => {
    const search = new URL(page.url()).searchParams;
    return search.has('from') ? Number(search.get('to')) - Number(search.get('from')) : null;
  };
  const minutes = (count) => count * 60_000;

  same('no zoom at first', span(), null);
  const scroll = () => page.evaluate(() => scrollY);
  await hand.hover();
  await page.mouse.wheel(0, 120);
  await until('the wheel alone scrolls the page', async () => (await scroll()) > 0);
  same('and zooms nothing', span(), null);
  await hand.scrollIntoViewIfNeeded();
  await hand.hover();
  await page.keyboard.down('Control');
  await page.mouse.wheel(0, -240);
  await page.keyboard.up('Control');
  await until('the wheel with Ctrl zooms in', () => span() !== null && span() < minutes(15));
  const wheeled = span();

  // The answer is held back: what was drawn before must stay to be seen meanwhile.
  let release;
  const held = new Promise((resolve) => (release = resolve));
  await page.route(/\/series\?/, async (route) => {
    await held;
    // A load that was dropped meanwhile has nothing to go on to.
    await route.continue().catch(() => undefined);
  });
  await hand.focus();
  await page.keyboard.press('+');
  await until('+ zooms in', () => span() < wheeled * 0.6);
  check('the old picture stays while the new one loads', await cpu.locator('canvas').isVisible());
  release();
  await page.unrouteAll({ behavior: 'ignoreErrors' });
  const close = span();
  await page.keyboard.press('-');
  await until('- zooms out', () => span() > close * 1.8);
  const from = () => Number(new URL(page.url()).searchParams.get('from'));
  const before = from();
  await page.keyboard.press('ArrowLeft');
  await until('an arrow goes to earlier times', () => from() < before);
  const kept = page.url();
  await page.reload();
  await seen('the chart after a reload', cpu.locator('canvas'));
  same('the zoom survives a reload', page.url(), kept);
  await hand.focus();
  await page.keyboard.press('0');
  await until('0 goes back to where it began', () => span() === null);

  const box = await hand.boundingBox();
  await page.mouse.move(box.x + box.width * 0.6, box.y + 80);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.8, box.y + 80, { steps: 5 });
  await page.mouse.up();
  await until('dragging across zooms into what was marked', () => span() > minutes(2) && span() < minutes(5));
  await button(page, 'Reset zoom').click();
  await until('Reset zoom goes back', () => span() === null);

  await page.getByRole('button', { name: '1 y', exact: true }).click();
  await page.waitForURL(/span=y1/);
  await seen('a year is drawn', cpu.locator('canvas'));
  for (let step = 0; step < 40 && !(span() < 10_000 && span() !== null); step++) {
    await page.keyboard.press('Escape');
    await hand.focus();
    await page.keyboard.press('+');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
  }
  await until('from a year down to seconds', () => span() !== null && span() <= 10_000);
  await page.keyboard.press('0');
  await until('and back to the year in one step', () => page.url().includes('span=y1'));

  const phone = await newContext({
    viewport: { width: 390, height: 844 },
    isMobile: true,
    hasTouch: true,
    storageState: await context.storageState(),
  });
  const tab = await phone.newPage();
  await tab.goto(`/servers/${id}`);
  const small = tab.locator('.chart').first();
  await small.locator('canvas').waitFor();
  await small.scrollIntoViewIfNeeded();
  const area = await small.getByRole('application').boundingBox();
  const session = await phone.newCDPSession(tab);
  const touch = (type, ...places) =>
    session.send('Input.dispatchTouchEvent', {
      type,
      touchPoints: places.map((place, index) => ({
        id: index,
        x: area.x + area.width * place,
        y: area.y + 90 + index,
      })),
    });
  await touch('touchStart', 0.45, 0.65);
  for (const by of [0.05, 0.1, 0.15, 0.2]) await touch('touchMove', 0.45 - by, 0.65 + by);
  await touch('touchEnd');
  await tab.waitForURL(/from=\d+&to=\d+/);
  const search = new URL(tab.url()).searchParams;
  const pinched = Number(search.get('to')) - Number(search.get('from'));
  check('two fingers apart zoom in', pinched < minutes(15) && pinched > minutes(1), pinched);
  await phone.close();
}
