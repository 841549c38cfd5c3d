// Chinese and English, dark and light, and that the choice stays.

import { check, same, seen, until } from '../lib/checks.mjs';
import { button } from './common.mjs';

const language_ = (page) => page.evaluate(() => document.documentElement.lang);

export async function language({ page, newContext, complaints }) {
  await page.goto('/');
  await page.getByLabel('Account', { exact: true }).click();
  await button(page, '中文').click();
  await seen('the heading in Chinese', page.getByRole('heading', { name: '服务器', level: 1 }));
  same('the document says zh-CN', await language_(page), 'zh-CN');
  await page.reload();
  await seen('Chinese after a reload', page.getByRole('link', { name: '添加服务器' }));
  for (const address of ['/alerts', '/data-management', '/events', '/settings', '/servers/new']) {
    await page.goto(address);
    await page.getByRole('heading', { level: 1 }).waitFor();
    check(
      `${address} has a Chinese heading`,
      /[\u4e00-\u9fff]/.test(await page.getByRole('heading', { level: 1 }).innerText()),
    );
  }
  await page.goto('/');
  await page.locator('.account summary').click();
  await button(page, 'English').click();
  await seen('the heading in English', page.getByRole('heading', { name: 'Servers', level: 1 }));
  same('the document says en', await language_(page), 'en');

  const chinese = await newContext({ locale: 'zh-CN' });
  const tab = await chinese.newPage();
  await complaints.expecting([/401.*\/api\/session/], async () => {
    await tab.goto('/');
    await seen("the browser's language is taken at first", tab.getByText('用户名'));
  });
  await chinese.close();
}

export async function theme({ page }) {
  const brightness = () =>
    page.evaluate(() => {
      const [red, green, blue] = getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number);
      return (red + green + blue) / 3;
    });
  await page.goto('/');
  await page.getByLabel('Account', { exact: true }).click();
  await button(page, 'Dark').click();
  await until('a dark page', async () => (await brightness()) < 60);
  await page.reload();
  await until('dark after a reload', async () => (await brightness()) < 60);
  await page.getByLabel('Account', { exact: true }).click();
  await button(page, 'Light').click();
  await until('a light page', async () => (await brightness()) > 200);
  await button(page, 'As the system').click();
  await page.emulateMedia({ colorScheme: 'dark' });
  await until("the system's dark is followed at once", async () => (await brightness()) < 60);
  await page.emulateMedia({ colorScheme: 'light' });
  await until("and the system's light", async () => (await brightness()) > 200);
}
