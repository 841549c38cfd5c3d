// What several flows do.

export const admin = { username: 'admin', password: 'a long password of no account' };

/** A labelled control, by its whole label. (The choice of the log-in's kind is called Password, too.) */
export const field = (scope, label) =>
  scope.getByLabel(label, { exact: true }).and(scope.locator(':not([type=radio])'));
export const button = (scope, name) => scope.getByRole('button', { name, exact: true });

/** The card of a server on the fleet page. */
export const card = (page, name) =>
  page.getByRole('article').filter({ has: page.getByRole('link', { name, exact: true }) });

export async function fillLogin(page, { username, password }) {
  await field(page, 'User name').fill(username);
  await field(page, 'Password').fill(password);
  await button(page, 'Log in').click();
}

/** The servers as the REST interface tells them to whoever is logged in. */
export async function servers(page) {
  const answer = await page.request.get('/api/servers');
  return answer.json();
}

export async function serverCalled(page, name) {
  return (await servers(page)).find((server) => server.name === name);
}

export async function localServer(page) {
  return (await servers(page)).find((server) => server.transport === 'local');
}

/** A mark in the page's memory: it is gone after a reload. */
export const mark = (page) => page.evaluate(() => (window.notReloaded = true));
export const marked = (page) => page.evaluate(() => window.notReloaded === true);
