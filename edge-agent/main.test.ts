import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';

/** What an agent that runs as a process of its own says to whoever reads its log. */

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

/** An agent as a process of its own; `log` is what it has said on stderr. */
function start(directory: string, config: object) {
  writeFileSync(join(directory, 'agent.yaml'), JSON.stringify(config));
  const main = JSON.stringify(new URL('./main.js', import.meta.url).href);
  writeFileSync(join(directory, 'run.mjs'), `import { main } from ${main};\nawait main('agent.yaml');\n`);
  const child = spawn(process.execPath, ['run.mjs'], { cwd: directory });
  const ended = new Promise<string>((resolve) => child.once('exit', (code, signal) => resolve(String(signal ?? code))));
  cleanUps.push(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  let log = '';
  child.stderr.on('data', (text: Buffer) => {
    log += text.toString();
  });
  return { child, ended, log: () => log };
}

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'twinwatch-main-'));
  cleanUps.push(() => rmSync(directory, { recursive: true }));
  return directory;
}

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
  const directory = newDirectory();
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
  const { log } = start(directory, agent);
  await expect.poll(() => dials, { timeout: 20_000 }).toBeGreaterThanOrEqual(3);
  expect(log().split('no connection to the broker').length - 1).toBe(1);
  expect(log()).toMatch(/"level":40.*"url":"mqtt:\/\/127\.0\.0\.1:\d+","reason":"Connection refused: Not authorized"/);
  expect(log()).not.toContain('MaxListenersExceededWarning');
}, 30_000);

it.skipIf(process.platform === 'win32')(
  'ends, and says why, when it is told to stop while its disk hangs',
  async () => {
    const directory = newDirectory();
    const config = {
      ...{ federation: 'f', agent: 'a', broker: { url: 'mqtt://127.0.0.1:1' }, dataDir: 'data', interval: '1m' },
      ...{ training: { enabled: false }, buses: [] },
    };
    const sound = start(directory, config);
    await expect.poll(sound.log, { timeout: 20_000 }).toContain('agent started');
    sound.child.kill('SIGTERM');
    expect(await sound.ended).toBe('0');
    // Whoever opens a pipe to read from waits in the system until somebody writes, as for a disk that is gone: here the thread that looks for an unfinished transaction.
    execFileSync('mkfifo', [join(directory, 'data', 'agent.db-journal')]);
    rmSync(join(directory, 'data', 'in-use.txt'));
    const hung = start(directory, config);
    await expect.poll(() => existsSync(join(directory, 'data', 'in-use.txt')), { timeout: 20_000 }).toBe(true);
    hung.child.kill('SIGTERM');
    expect(await hung.ended).toBe('SIGKILL');
    expect(hung.log()).not.toContain('agent started');
    expect(hung.log()).toMatch(/"reason":"SIGTERM".*agent stops.*the disk of dataDir does not answer/s);
  },
  60_000,
);
