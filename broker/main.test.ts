import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { topics } from '@twinwatch/core/wire/topics';
import type { MqttClient } from 'mqtt';
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

  it('has on disk what it has acknowledged, whenever it is killed, to who is away, who reads meanwhile, and retained', async () => {
    const directory = await bench.directory();
    const configPath = join(directory, 'broker.yaml');
    const away = { clientId: 'away', clean: false };
    const reading = { clientId: 'reading', clean: false };
    const sent = new Map<string, string[]>();
    const acknowledged = new Map<string, string[]>();
    const [queued, read] = [new Set<string>(), new Set<string>()];
    const all = () => [...acknowledged.values()].flat();
    for (const { killAt, sync } of [
      { killAt: 37, sync: true },
      { killAt: 300, sync: false },
    ]) {
      await writeFile(configPath, `port: 0\ndataDir: data\nsync: ${sync}\n`);
      const broker = await startProcess(configPath);
      const before = all().length;
      for (const options of [away, reading]) {
        const taken = options === away ? queued : read;
        const client = await bench.client(broker.port, options, ({ text }) => taken.add(text));
        await client.subscribeAsync('q/#', { qos: 1 });
        if (options === away) await client.endAsync();
      }
      const publishers = new Map<string, MqttClient>();
      for (const topic of ['q/1', 'q/2', 'q/3']) publishers.set(topic, await bench.client(broker.port));
      for (const [topic, client] of publishers) {
        const [texts, kept] = [sent.get(topic) ?? [], acknowledged.get(topic) ?? []];
        sent.set(topic, texts);
        acknowledged.set(topic, kept);
        for (let i = 0; i < 200; i++) {
          const text = `${topic} ${killAt} ${i}`;
          texts.push(text);
          client.publish(topic, text, { qos: 1, retain: true }, (error) => {
            if (!error) kept.push(text);
            if (all().length - before >= killAt) broker.process.kill('SIGKILL');
          });
        }
      }
      await once(broker.process, 'exit');
      expect(all().length - before).toBeGreaterThanOrEqual(killAt);
    }

    const last = await startProcess(configPath);
    const retained = new Map<string, string>();
    await bench.client(last.port, away, ({ text }) => queued.add(text));
    await bench.client(last.port, reading, ({ text }) => read.add(text));
    const looking = await bench.client(last.port, {}, ({ topic, text }) => retained.set(topic, text));
    await looking.subscribeAsync('q/+', { qos: 1 });
    await until(
      'what was acknowledged, at both',
      () => all().every((text) => queued.has(text) && read.has(text)),
      40_000,
    );
    await until('what is retained', () => retained.size === 3);
    for (const [topic, kept] of acknowledged) {
      const texts = sent.get(topic) ?? [];
      expect(texts.indexOf(retained.get(topic) ?? '')).toBeGreaterThanOrEqual(texts.indexOf(kept.at(-1) ?? ''));
    }
  }, 90_000);

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
