import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';

/** What an agent that runs as a process of its own says to whoever reads its log. */

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

it('says once why it has no broker, however often it dials, and nothing of listeners, however many buses it reads', async () => {
  let dials = 0;
  const notAuthorized = Buffer.of(0x20, 2, 0, 5);
  const refusing = net.createServer((socket) => {
    socket
      .on('error', () => undefined)
      .once('data', () => {
        dials++;
        socket.end(notAuthorized);
      });
  });
  await new Promise<void>((resolve) => refusing.listen(0, '127.0.0.1', resolve));
  cleanUps.push(() => new Promise((resolve) => refusing.close(resolve)));
  const directory = mkdtempSync(join(tmpdir(), 'twinwatch-log-'));
  cleanUps.push(() => rmSync(directory, { recursive: true }));
  const buses = Array.from({ length: 12 }, (_, i) => i + 1).map((port) => ({
    url: `tcp://127.0.0.1:${port}`,
    devices: [{ name: `P${port}`, template: `p${port}.yaml` }],
  }));
  for (const { devices } of buses)
    writeFileSync(
      join(directory, devices[0]!.template),
      `tags: [{ name: ${devices[0]!.name}, register: holding, address: 0, type: UINT16 }]\n`,
    );
  const { port } = refusing.address() as net.AddressInfo;
  const broker = { url: `mqtt://127.0.0.1:${port}` };
  const agent = {
    federation: 'f',
    agent: 'a',
    broker,
    dataDir: 'data',
    interval: '1m',
    training: { enabled: false },
    buses,
  };
  writeFileSync(join(directory, 'agent.yaml'), JSON.stringify(agent));
  const main = JSON.stringify(new URL('./main.js', import.meta.url).href);
  writeFileSync(join(directory, 'run.mjs'), `import { main } from ${main};\nawait main('agent.yaml');\n`);
  const child = spawn(process.execPath, ['run.mjs'], { cwd: directory });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  cleanUps.push(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  let log = '';
  child.stderr.on('data', (text: Buffer) => {
    log += text.toString();
  });
  await expect.poll(() => dials, { timeout: 20_000 }).toBeGreaterThanOrEqual(3);
  expect(log.split('no connection to the broker').length - 1).toBe(1);
  expect(log).toMatch(/"level":40.*"url":"mqtt:\/\/127\.0\.0\.1:\d+","reason":"Connection refused: Not authorized"/);
  expect(log).not.toContain('MaxListenersExceededWarning');
}, 30_000);
