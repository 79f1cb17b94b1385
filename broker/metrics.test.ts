import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { FIGURES } from './metrics.js';
import { fillDisk, TestBench, until } from './test-bench.js';

const bench = new TestBench();
afterEach(() => bench.close());

const metrics = { host: '127.0.0.1', port: 0, interval: 100 };
const credentials = [
  { username: 'server', password: 'first password', role: 'server' as const },
  { username: 'watch', password: 'second password', role: 'operator' as const },
  { username: 'look', password: 'third password', role: 'observer' as const },
];
const as = (index: 0 | 1 | 2) => ({ username: credentials[index]!.username, password: credentials[index]!.password });

describe('metrics', () => {
  it('are told to server and operator under $SYS, and not to others', async () => {
    const broker = await bench.broker({ credentials, metrics: { host: '127.0.0.1', interval: 100 } });
    expect(broker.metricsPort).toBeNull();
    const observer = await bench.client(broker.port, as(2));
    await expect(observer.subscribeAsync('$SYS/#', { qos: 1 })).rejects.toMatchObject({ packet: { granted: [128] } });
    const everything = await bench.listener(broker.port, '#', as(2));
    const server = await bench.client(broker.port, as(0));
    const watched = await bench.listener(broker.port, '$SYS/#', as(1));
    await server.publishAsync('a', 'one', { qos: 1 });
    await server.publishAsync('a', 'two', { qos: 1, retain: true });
    const latest = (topic: string) => watched.findLast((one) => one.topic === `$SYS/broker/${topic}`)?.text;
    const seen = () => new Set(watched.map(({ topic }) => topic));
    await until('all figures', () => latest('retained messages/count') === '1' && seen().size === FIGURES.length);
    expect(['publish/messages/received', 'clients/connected', 'publish/bytes/received'].map(latest)).toEqual([
      '2',
      '4',
      '6',
    ]);
    expect(seen()).toEqual(new Set(FIGURES.map(({ topic }) => `$SYS/broker/${topic}`)));
    expect(everything.map(({ topic }) => topic)).toEqual(['a', 'a']);
  });

  it('are served for Prometheus, counters that never fall, and nothing can be changed there', async () => {
    const broker = await bench.broker({ metrics });
    const url = (path: string) => `http://127.0.0.1:${broker.metricsPort}${path}`;
    const figures = async () => {
      const text = await (await fetch(url('/metrics'))).text();
      const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
      return new Map(lines.map((line) => [line.split(' ')[0], Number(line.split(' ')[1])]));
    };
    const before = await figures();
    expect(before.size).toBe(FIGURES.length);
    const received = await bench.listener(broker.port, 'a');
    const client = await bench.client(broker.port);
    await client.publishAsync('a', 'text', { qos: 1 });
    await client.publishAsync('$SYS/broker/uptime', 'forged', { qos: 1 });
    await until('the message', () => received.length === 1);
    await client.endAsync();
    const after = await figures();
    const grown = (name: string) => (after.get(name) ?? Number.NaN) - (before.get(name) ?? Number.NaN);
    expect(grown('twinwatch_broker_publishes_received_total')).toBe(1);
    expect(grown('twinwatch_broker_publishes_sent_total')).toBe(1);
    expect(grown('twinwatch_broker_refused_publishes_total')).toBe(1);
    expect(grown('twinwatch_broker_publishes_dropped_total')).toBe(1);
    expect(grown('twinwatch_broker_bytes_received_total')).toBeGreaterThan(40);
    expect(grown('twinwatch_broker_packets_received_total')).toBeGreaterThanOrEqual(5);
    for (const { name, type } of FIGURES)
      if (type === 'counter') expect(grown(`twinwatch_broker_${name}`)).toBeGreaterThanOrEqual(0);
    expect((await fetch(url('/metrics'), { method: 'POST' })).status).toBe(405);
    expect((await fetch(url('/elsewhere'))).status).toBe(404);
    await expect(bench.broker({ metrics: { ...metrics, port: broker.metricsPort! } })).rejects.toMatchObject({
      code: 'BROKER_PORT_BUSY',
    });
  });

  it('say that the disk is full', async (context) => {
    const disk = await bench.smallDisk(1_000);
    if (disk === null) return context.skip('no right to mount a file system');
    const broker = await bench.broker({ dataDir: join(disk, 'data'), minimumFreeBytes: 0, metrics });
    const health = async () => (await fetch(`http://127.0.0.1:${broker.metricsPort}/health`)).status;
    expect(await health()).toBe(200);
    await fillDisk(disk);
    const client = await bench.client(broker.port);
    for (let i = 0; i < 10; i++) client.publish(`r/${i}`, 'x'.repeat(20_000), { qos: 1, retain: true });
    await until('a failed write', () => broker.counters.storeErrors === 1);
    expect(await health()).toBe(503);
  });
});
