import { afterEach, describe, expect, it } from 'vitest';
import { TestBench, until } from './test-bench.js';
import { TokenBucket } from './token-bucket.js';

const bench = new TestBench();
afterEach(() => bench.close());

describe('token bucket', () => {
  it('fills up to its capacity, at its rate, and never backwards', () => {
    const bucket = new TokenBucket(10, 5, 1_000);
    expect(bucket.available(1_000)).toBe(5);
    bucket.take(5);
    expect([bucket.available(1_000), bucket.waitMs]).toEqual([0, 100]);
    expect([bucket.available(900), bucket.available(1_099), bucket.available(1_100)]).toEqual([0, 0, 1]);
    expect(bucket.available(60_000)).toBe(5);
  });
});

describe('rate of a client', () => {
  it('is held back without losing anything, its goodbye included, and lets others pass', async () => {
    const broker = await bench.broker({ limits: { maximumMessagesPerSecond: 100, maximumMessageBurst: 20 } });
    const received = await bench.listener(broker.port, 'a');
    const wills = await bench.listener(broker.port, 'will');
    const flooding = await bench.client(broker.port, {
      will: { topic: 'will', payload: Buffer.from('died'), qos: 1, retain: false },
    });
    const texts = Array.from({ length: 300 }, (_, i) => `${i}`);
    for (const text of texts) flooding.publish('a', text);
    flooding.end();
    const calm = await bench.client(broker.port);
    await calm.publishAsync('a', 'calm', { qos: 1 });
    expect(received.length).toBeLessThan(texts.length);
    await until('all', () => received.length === texts.length + 1, 30_000);
    expect(received.map(({ text }) => text).filter((text) => text !== 'calm')).toEqual(texts);
    expect(broker.counters.heldBack).toBeGreaterThan(0);
    expect(wills).toEqual([]);
  }, 40_000);

  it('does not hold for the server', async () => {
    const credentials = [{ username: 'server', password: 'some password', role: 'server' as const }];
    const broker = await bench.broker({
      credentials,
      limits: { maximumMessagesPerSecond: 1, maximumMessageBurst: 10 },
    });
    const server = await bench.client(broker.port, { username: 'server', password: 'some password' });
    for (let i = 0; i < 100; i++) await server.publishAsync('a', `${i}`, { qos: 1 });
    expect(broker.counters.heldBack).toBe(0);
  });

  it('says no to connections beyond the limit', async () => {
    const broker = await bench.broker({ limits: { maximumConnections: 2 } });
    const first = await bench.client(broker.port);
    await bench.client(broker.port);
    await expect(bench.client(broker.port)).rejects.toThrow();
    expect(broker.counters.refusedConnections).toBe(1);
    await first.endAsync();
    expect((await bench.client(broker.port)).connected).toBe(true);
  });
});
