import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { topics } from '@twinwatch/core/wire/topics';
import { afterEach, describe, expect, it } from 'vitest';
import { main } from './main.js';
import { TestBench, until } from './test-bench.js';

const bench = new TestBench();
afterEach(() => bench.close());

const MAIN = new URL('./main.js', import.meta.url).href;

async function startProcess(configPath: string): Promise<{ process: ChildProcess; port: number }> {
  const script = `import { main } from ${JSON.stringify(MAIN)}; await main(${JSON.stringify(configPath)});`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'ignore'] });
  bench.onClose(() => child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout });
  const [line] = (await once(lines, 'line')) as [string];
  const ready = JSON.parse(line) as { ready: boolean; port: number };
  expect(ready.ready).toBe(true);
  return { process: child, port: ready.port };
}

describe('broker process', () => {
  it('keeps what it has queued through kill -9, and publishes wills of clients that vanished with it', async () => {
    const directory = await bench.directory();
    const configPath = join(directory, 'broker.yaml');
    await writeFile(configPath, 'port: 0\ndataDir: data\nheartbeat: 1s\n');
    const first = await startProcess(configPath);
    const session = { clientId: 'away', clean: false };
    const away = await bench.client(first.port, session);
    await away.subscribeAsync('q/#', { qos: 1 });
    await away.endAsync();
    const topic = topics('demo').agent('site-1').status;
    const will = { topic, payload: Buffer.from('gone'), qos: 1 as const, retain: true };
    await bench.client(first.port, { clientId: 'vanishing', will });
    const witness = await bench.listener(first.port, 'q/#');
    const client = await bench.client(first.port);
    const sent = Array.from({ length: 200 }, (_, i) => `${i}`);
    for (const text of sent) client.publish('q/x', text, { qos: 1 });
    await until('all stored and forwarded', () => witness.length === sent.length);
    first.process.kill('SIGKILL');
    await once(first.process, 'exit');

    const second = await startProcess(configPath);
    const status = await bench.listener(second.port, topic);
    const queued = await bench.listener(second.port, 'q/#', session);
    await until('the queue', () => queued.length >= sent.length);
    expect([...new Set(queued.map(({ text }) => text))]).toEqual(sent);
    await until('the will', () => status.some(({ text }) => text === 'gone'), 10_000);
    second.process.kill('SIGTERM');
    const [code] = (await once(second.process, 'exit')) as [number | null];
    expect(code).toBe(0);
  }, 30_000);

  it('has on disk what it has acknowledged, whenever it is killed', async () => {
    const directory = await bench.directory();
    const configPath = join(directory, 'broker.yaml');
    await writeFile(configPath, 'port: 0\ndataDir: data\n');
    const first = await startProcess(configPath);
    const session = { clientId: 'away', clean: false };
    const away = await bench.client(first.port, session);
    await away.subscribeAsync('q/#', { qos: 1 });
    await away.endAsync();
    const client = await bench.client(first.port);
    const sent = Array.from({ length: 1_000 }, (_, i) => `${i}`);
    const acknowledged: string[] = [];
    for (const text of sent)
      client.publish('q/x', text, { qos: 1 }, (error) => {
        if (!error) acknowledged.push(text);
        if (acknowledged.length === 300) first.process.kill('SIGKILL');
      });
    await once(first.process, 'exit');

    const second = await startProcess(configPath);
    const queued = await bench.listener(second.port, 'q/#', session);
    await until('what was acknowledged', () => queued.length >= acknowledged.length);
    expect(acknowledged.length).toBeGreaterThanOrEqual(300);
    expect(acknowledged).toEqual(sent.slice(0, acknowledged.length));
    expect([...new Set(queued.map(({ text }) => text))]).toEqual(expect.arrayContaining(acknowledged));
  }, 30_000);

  it('says what is wrong in its file', async () => {
    const path = join(await bench.directory(), 'broker.yaml');
    await expect(main(path)).rejects.toMatchObject({
      code: 'CONFIG_UNREADABLE',
      message: expect.stringContaining(path),
    });
    await writeFile(path, 'port: 99999\ncredentials:\n  - { username: a, password: longenough, role: agent }\n');
    await expect(main(path)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(/port[\s\S]*dataDir|dataDir[\s\S]*port/),
    });
  });
});
