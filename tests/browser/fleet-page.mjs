// What one message of the hub costs the fleet page while a thousand servers report over the real
// socket. `make fleet-page` (tests/src/bin/fleet_page.rs) starts the servers and this.
//
// Every message is timed where it arrives: from the socket's event until the browser has painted what
// it changed. The figures are the browser's own (CPU time of script, style and layout), so that
// a busy machine stretches them but does not turn them over.

import { launch } from './lib/browser.mjs';
import { Hub } from './lib/hub.mjs';
import { admin } from './flows/common.mjs';

const servers = Number(process.env.FLEET_SERVERS ?? 1000);
const interval = process.env.FLEET_INTERVAL ?? '5s';
const messages = Number(process.env.FLEET_MESSAGES ?? 60);

const hub = await Hub.start({
  GANDER_ADMIN_USER: admin.username,
  GANDER_ADMIN_PASSWORD: admin.password,
  GANDER_INTERVAL: interval,
});
const browser = await launch();
try {
  const context = await browser.newContext({
    baseURL: hub.url,
    locale: 'en-GB',
    viewport: { width: 1280, height: 900 },
  });
  const send = async (method, path, data) => {
    const answer = await context.request.fetch(path, {
      method,
      data,
      headers: { origin: hub.url },
    });
    if (!answer.ok()) throw new Error(`${method} ${path}: ${answer.status()} ${await answer.text()}`);
    return answer.json();
  };
  await send('POST', '/api/login', admin);
  console.log(`enrolling ${servers} servers, polled every ${interval} …`);
  for (let number = 1; number <= servers; number++) {
    await send('POST', '/api/servers', {
      name: `node-${number}`,
      ip: '127.0.0.1',
      ssh_port: Number(process.env.FLEET_PORT),
      ssh_user: 'deploy',
      ssh_password: 'secret',
      group: `rack ${number % 20}`,
      tags: [number % 3 ? 'web' : 'database', `zone-${number % 5}`],
    });
  }
  for (;;) {
    const { online } = await send('GET', '/api/stats');
    if (online > servers * 0.99) break;
    await new Promise((resume) => setTimeout(resume, 1000));
  }
  for (const view of ['cards', 'table']) await measure(context, view);
} finally {
  await browser.close();
  await hub.remove();
}

async function measure(context, view) {
  const page = await context.newPage();
  await page.addInitScript((wanted) => {
    localStorage.setItem('gander.fleet-view', wanted);
    window.ticks = [];
    const Native = window.WebSocket;
    // Wraps what the page does with a message; the socket is the real one.
    window.WebSocket = class extends Native {
      set onmessage(listener) {
        const take = (event) => {
          if (event.data.startsWith('{"type":"initial"')) {
            // All servers in one message, as after a long pause: asked for below.
            window.everything = () => take({ data: event.data.replace('"initial"', '"delta"') });
          }
          const begin = performance.now();
          listener(event);
          const handled = performance.now();
          queueMicrotask(() => {
            const flushed = performance.now();
            const bytes = event.data.length;
            const count = event.data.startsWith('{"type":"delta"')
              ? event.data.split('"ssh_user"').length - 1
              : null;
            requestAnimationFrame(() => {
              const channel = new MessageChannel();
              const frame = performance.now();
              // After the frame's style, layout and paint.
              channel.port1.onmessage = () =>
                window.ticks.push({
                  bytes,
                  count,
                  script: flushed - begin,
                  parse: handled - begin,
                  frame: performance.now() - frame,
                });
              channel.port2.postMessage(0);
            });
          });
        };
        super.onmessage = take;
      }
    };
  }, view);
  await page.goto('/');
  await page.getByText('node-1', { exact: true }).or(page.locator('tbody tr, article')).first().waitFor();
  const session = await context.newCDPSession(page);
  await session.send('Performance.enable');
  const metrics = async () =>
    Object.fromEntries((await session.send('Performance.getMetrics')).metrics.map((m) => [m.name, m.value]));
  const heard = () => page.evaluate(() => window.ticks.filter((tick) => tick.count !== null).length);
  // The first messages are the full state and what the JIT learns from.
  while ((await heard()) < 20) await new Promise((resume) => setTimeout(resume, 200));
  if (process.env.FLEET_PROFILE)
    await session.send('Profiler.enable').then(() => session.send('Profiler.start'));
  const [before, first] = [await metrics(), await heard()];
  while ((await heard()) < first + messages) await new Promise((resume) => setTimeout(resume, 200));
  const [after, last] = [await metrics(), await heard()];
  if (process.env.FLEET_PROFILE) {
    const { profile } = await session.send('Profiler.stop');
    const { writeFile } = await import('node:fs/promises');
    await writeFile(`${process.env.FLEET_PROFILE}-${view}.cpuprofile`, JSON.stringify(profile));
  }
  const ticks = (await page.evaluate(() => window.ticks))
    .filter((tick) => tick.count !== null)
    .slice(first, last);
  const each = (name) => ((after[name] - before[name]) * 1000) / (last - first);
  const part = (name, share) => {
    const values = ticks.map((tick) => tick[name]).sort((a, b) => a - b);
    return values[Math.min(values.length - 1, Math.floor(values.length * share))];
  };
  const seconds = after.Timestamp - before.Timestamp;
  const round = (value) => Math.round(value * 10) / 10;
  console.log(`\n${view}: ${last - first} messages in ${round(seconds)} s`);
  console.table({
    'servers in a message': {
      median: part('count', 0.5),
      p95: part('count', 0.95),
    },
    'bytes of a message': {
      median: part('bytes', 0.5),
      p95: part('bytes', 0.95),
    },
    'message to state and DOM, ms': {
      median: round(part('script', 0.5)),
      p95: round(part('script', 0.95)),
    },
    'of it before effects, ms': {
      median: round(part('parse', 0.5)),
      p95: round(part('parse', 0.95)),
    },
    'its frame to the end, ms': {
      median: round(part('frame', 0.5)),
      p95: round(part('frame', 0.95)),
    },
  });
  console.table({
    'CPU a message, ms': {
      script: round(each('ScriptDuration')),
      style: round(each('RecalcStyleDuration')),
      layout: round(each('LayoutDuration')),
      all: round(each('TaskDuration')),
    },
    'share of a core, %': {
      script: round(((after.ScriptDuration - before.ScriptDuration) / seconds) * 100),
      style: round(((after.RecalcStyleDuration - before.RecalcStyleDuration) / seconds) * 100),
      layout: round(((after.LayoutDuration - before.LayoutDuration) / seconds) * 100),
      all: round(((after.TaskDuration - before.TaskDuration) / seconds) * 100),
    },
  });
  console.log(
    `DOM nodes ${after.Nodes}, script heap ${round(after.JSHeapUsedSize / 1e6)} MB, JS listeners ${after.JSEventListeners}`,
  );
  const known = await page.evaluate(() => window.ticks.length);
  for (let times = 0; times < 12; times++) {
    await page.evaluate(() => window.everything());
    await new Promise((resume) => setTimeout(resume, 300));
  }
  const whole = (await page.evaluate((from) => window.ticks.slice(from), known))
    .filter((tick) => tick.count > servers * 0.9)
    .map((tick) => tick.script + tick.frame)
    .sort((a, b) => a - b);
  console.log(
    `all ${servers} servers in one message, script and frame: median ${round(whole[whole.length >> 1])} ms, greatest ${round(whole.at(-1))} ms`,
  );
  await page.close();
}
