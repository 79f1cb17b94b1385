import { once } from 'node:events';
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { topics } from '@twinwatch/core/wire/topics';
import { afterEach, describe, expect, it } from 'vitest';
import { TestBench, until } from './test-bench.js';

const bench = new TestBench();
afterEach(() => bench.close());

const own = topics('demo').agent('site-1');
const credentials = [
  { username: 'site-1', password: 'first password', role: 'agent' as const, agent: 'site-1' },
  { username: 'server', password: 'second password', role: 'server' as const },
];
const as = (index: 0 | 1) => ({ username: credentials[index]!.username, password: credentials[index]!.password });

describe('broker', () => {
  it('acknowledges and drops what is refused, and the client stays connected', async () => {
    const broker = await bench.broker({ limits: { maximumPayloadBytes: 4096 } });
    const received = await bench.listener(broker.port, '#');
    const client = await bench.client(broker.port);
    await client.publishAsync('a', Buffer.alloc(5000), { qos: 1 });
    await client.publishAsync(new Array(17).fill('a').join('/'), 'deep', { qos: 1 });
    await client.publishAsync(own.alarms, 'retained', { qos: 1, retain: true });
    await client.publishAsync('a', 'small', { qos: 1 });
    await until('the good message', () => received.length > 0);
    expect(received.map(({ text }) => text)).toEqual(['small']);
    expect(broker.counters.refusedPublishes).toBe(3);
    expect(client.connected).toBe(true);
  });

  it('cuts a client off that announces a packet far above the limit', async () => {
    const broker = await bench.broker({ limits: { maximumPayloadBytes: 4096 } });
    const client = await bench.client(broker.port);
    const closed = new Promise<void>((resolve) => client.once('close', resolve));
    client.publish('a', Buffer.alloc(100_000));
    await closed;
    expect(broker.counters.oversizedPackets).toBe(1);
    const other = await bench.client(broker.port);
    expect(other.connected).toBe(true);
  });

  it('asks for credentials, and refuses wildcards and the topics of others to an agent, also after a restart', async () => {
    const dataDir = await bench.directory();
    const first = await bench.broker({ credentials, dataDir });
    await expect(bench.client(first.port)).rejects.toThrow(/refused/i);
    await expect(bench.client(first.port, { ...as(0), password: 'wrong' })).rejects.toThrow(/refused/i);
    const session = { ...as(0), clientId: 'site-1', clean: false };
    const agent = await bench.client(first.port, session);
    const filters = [own.task, 'tw/v1/demo/agents/+/task', '#', topics('demo').agent('site-2').task];
    await expect(agent.subscribeAsync(filters, { qos: 1 })).rejects.toMatchObject({
      packet: { granted: [1, 128, 128, 128] },
    });
    await agent.endAsync();

    const server = await bench.client(first.port, as(1));
    await server.publishAsync(topics('demo').agent('site-2').task, 'not for site-1', { qos: 1 });
    await server.publishAsync(own.task, 'for site-1', { qos: 1 });
    await first.close();

    const second = await bench.broker({ credentials, dataDir });
    const received = await bench.listener(second.port, own.receipt, session);
    await until('the queued task', () => received.length > 0);
    expect(received.map(({ text }) => text)).toEqual(['for site-1']);
  });

  it('judges a will when it is handed in', async () => {
    const broker = await bench.broker({ credentials });
    const received = await bench.listener(broker.port, 'tw/v1/demo/agents/+/status', as(1));
    for (const agent of ['site-2', 'site-1']) {
      const topic = topics('demo').agent(agent).status;
      const will = { topic, payload: Buffer.from(`will of ${agent}`), qos: 1, retain: true } as const;
      const client = await bench.client(broker.port, { ...as(0), will });
      client.stream.destroy();
    }
    await until('the will that may be', () => received.length > 0);
    expect(received.map(({ text }) => text)).toEqual(['will of site-1']);
    expect(broker.counters.refusedPublishes).toBe(1);
  });

  it('bounds retained topics and what is queued for one client', async () => {
    const broker = await bench.broker({ limits: { maximumRetained: 2, maximumQueuedPerClient: 3 } });
    const away = await bench.client(broker.port, { clientId: 'away', clean: false });
    await away.subscribeAsync('q', { qos: 1 });
    await away.endAsync();
    const client = await bench.client(broker.port);
    for (let i = 0; i < 5; i++) {
      await client.publishAsync(`r/${i}`, `${i}`, { qos: 1, retain: true });
      await client.publishAsync('q', `${i}`, { qos: 1 });
    }
    await client.publishAsync('r/0', '', { qos: 1, retain: true });
    await client.publishAsync('r/9', '9', { qos: 1, retain: true });
    await until(
      'all handled',
      () => broker.counters.droppedForFullQueue === 2 && broker.counters.refusedRetained === 3,
    );
    const retained = await bench.listener(broker.port, 'r/+');
    const queued = await bench.listener(broker.port, 'q', { clientId: 'away', clean: false });
    await until('both lists', () => retained.length >= 2 && queued.length >= 3);
    expect(retained.map(({ topic }) => topic).sort()).toEqual(['r/1', 'r/9']);
    expect(queued.map(({ text }) => text)).toEqual(['0', '1', '2']);
  });

  it('bounds what is retained and queued by bytes, also over a restart', async () => {
    const dataDir = await bench.directory();
    const limits = { maximumRetainedBytes: 65_536, maximumQueuedBytesPerClient: 65_536 };
    const first = await bench.broker({ dataDir, limits });
    const session = { clientId: 'away', clean: false };
    const away = await bench.client(first.port, session);
    await away.subscribeAsync('q', { qos: 1 });
    await away.endAsync();
    const publish = async (port: number, texts: readonly string[]) => {
      const client = await bench.client(port);
      for (const text of texts) {
        await client.publishAsync('q', text.padEnd(20_000), { qos: 1 });
        await client.publishAsync(`r/${text}`, text.padEnd(20_000), { qos: 1, retain: true });
      }
    };
    await publish(first.port, ['0', '1']);
    await first.close();
    const second = await bench.broker({ dataDir, limits });
    await publish(second.port, ['2', '3', '2']);
    expect(second.counters).toMatchObject({ droppedForFullQueue: 2, refusedRetained: 1 });
    const retained = await bench.listener(second.port, 'r/+');
    const queued = await bench.listener(second.port, 'q', session);
    await until('both lists', () => retained.length >= 3 && queued.length >= 3);
    expect(retained.map(({ topic }) => topic).sort()).toEqual(['r/0', 'r/1', 'r/2']);
    expect(queued.map(({ text }) => text.trim())).toEqual(['0', '1', '2']);
    await publish(second.port, ['2']);
    await until('room again', () => queued.length === 4);
  });

  it('does not let a frozen subscriber hold up the others', async () => {
    const broker = await bench.broker({ drainTimeoutMs: 300 });
    const frozen = connect(broker.port, '127.0.0.1');
    bench.onClose(() => frozen.destroy());
    frozen.on('error', () => undefined);
    const connectPacket = [0x10, 0x0d, 0, 4, ...Buffer.from('MQTT'), 4, 2, 0, 0, 0, 1, 0x66];
    const subscribePacket = [0x82, 0x06, 0, 1, 0, 1, 0x61, 0];
    frozen.write(Buffer.from(connectPacket));
    await once(frozen, 'data');
    frozen.write(Buffer.from(subscribePacket));
    await once(frozen, 'data');
    frozen.pause();
    const received = await bench.listener(broker.port, 'a');
    const client = await bench.client(broker.port);
    // More messages than aedes handles at once, more bytes than the sockets buffer.
    const payload = Buffer.alloc(60_000, 0x78);
    for (let i = 0; i < 400; i++) client.publish('a', payload);
    await client.publishAsync('a', 'last', { qos: 1 });
    await until('every message at the other subscriber', () => received.length === 401);
    expect(received.slice(0, 400).every(({ text }) => text.length === payload.length)).toBe(true);
  });

  it('delivers everything once and in order per topic, whatever overtakes what', async () => {
    const broker = await bench.broker();
    const received = await bench.listener(broker.port, 'o/#', { clientId: 'persistent', clean: false });
    const client = await bench.client(broker.port);
    const kinds = [
      { topic: 'o/0', qos: 0, retain: false },
      { topic: 'o/1', qos: 1, retain: false },
      { topic: 'o/r', qos: 1, retain: true },
    ] as const;
    for (let i = 0; i < 600; i++) client.publish(kinds[i % 3]!.topic, `${i}`, kinds[i % 3]!);
    await until('all', () => received.length >= 600);
    for (const [offset, { topic }] of kinds.entries())
      expect(received.filter((one) => one.topic === topic).map(({ text }) => text)).toEqual(
        Array.from({ length: 200 }, (_, i) => `${3 * i + offset}`),
      );
    const retained = await bench.listener(broker.port, 'o/r');
    await until('the retained message', () => retained.length === 1);
    expect(retained[0]?.text).toBe('599');
  });

  it('says what to do when its port or its data directory is taken', async () => {
    const dataDir = await bench.directory();
    const broker = await bench.broker({ dataDir });
    await expect(bench.broker({ port: broker.port })).rejects.toMatchObject({
      code: 'BROKER_PORT_BUSY',
      message: expect.stringContaining('set another port'),
    });
    await expect(bench.broker({ dataDir })).rejects.toMatchObject({ code: 'BROKER_STORE_LOCKED' });
    await expect(bench.broker({ host: '203.0.113.1' })).rejects.toMatchObject({ code: 'BROKER_LISTEN_FAILED' });
    await writeFile(join(dataDir, 'file'), '');
    await expect(bench.broker({ dataDir: join(dataDir, 'file') })).rejects.toMatchObject({
      code: 'BROKER_STORE_FAILED',
    });
  });

  it('moves a damaged store aside and starts', async () => {
    const dataDir = await bench.directory();
    const first = await bench.broker({ dataDir });
    const client = await bench.client(first.port);
    await client.publishAsync('r', 'kept', { qos: 1, retain: true });
    await first.close();
    const sessions = join(dataDir, 'sessions');
    const [manifest] = (await readdir(sessions)).filter((name) => name.startsWith('MANIFEST'));
    await writeFile(join(sessions, manifest!), 'no manifest');
    const second = await bench.broker({ dataDir });
    expect(second.counters.storesMovedAside).toBe(1);
    expect((await readdir(dataDir)).filter((name) => name.startsWith('sessions.damaged-'))).toHaveLength(1);
    expect((await bench.client(second.port)).connected).toBe(true);
  });

  it('cuts a torn tail and keeps what is before it', async () => {
    const dataDir = await bench.directory();
    const first = await bench.broker({ dataDir });
    const client = await bench.client(first.port);
    for (const topic of ['r/1', 'r/2', 'r/3']) await client.publishAsync(topic, 'kept', { qos: 1, retain: true });
    await first.close();
    const sessions = join(dataDir, 'sessions');
    const [journal] = (await readdir(sessions)).filter((name) => name.endsWith('.log'));
    const path = join(sessions, journal!);
    await truncate(path, (await readFile(path)).lastIndexOf('r/3'));
    const second = await bench.broker({ dataDir });
    const retained = await bench.listener(second.port, 'r/+');
    await until('what is before the tear', () => retained.length === 2);
    expect(retained.map(({ topic }) => topic).sort()).toEqual(['r/1', 'r/2']);
    expect(second.counters.storesMovedAside).toBe(0);
  });

  it('closes with clients that have wills, which its log does not take for a fault of the disk', async () => {
    const said: string[] = [];
    const tell = (_: object, message: string) => void said.push(message);
    const log = { debug: () => undefined, info: () => undefined, warn: tell, error: tell };
    const dataDir = await bench.directory();
    const broker = await bench.broker({ dataDir, log });
    const will = { topic: own.status, payload: Buffer.from('gone'), qos: 1 as const, retain: true };
    for (let i = 0; i < 20; i++) {
      const client = await bench.client(broker.port, { clientId: `c${i}`, clean: false, will });
      await client.subscribeAsync(own.status, { qos: 1 });
    }
    await broker.close();
    // What aedes still has in mind for clients that it cut off.
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(said).toEqual([]);
  });

  it('closes while retained messages stream to many clients', async () => {
    const broker = await bench.broker();
    const client = await bench.client(broker.port);
    await Promise.all(
      Array.from({ length: 300 }, (_, i) => client.publishAsync(`r/${i}`, 'x'.repeat(500), { qos: 1, retain: true })),
    );
    const readers = await Promise.all(Array.from({ length: 10 }, () => bench.client(broker.port)));
    for (const reader of readers) reader.subscribe('r/#', { qos: 1 });
    await new Promise((resolve) => readers[0]!.once('message', resolve));
    await Promise.all([broker.close(), broker.close()]);
    expect(broker.counters.storeErrors).toBe(0);
  });
});
