import { afterEach, describe, expect, it } from 'vitest';
import { TestBench, until } from './test-bench.js';

const bench = new TestBench();
afterEach(() => bench.close());

const LARGE = 'x'.repeat(50_000);

describe('slow subscribers', () => {
  it('are not waited for by anybody, and get what they missed, once and in order, when they come back', async () => {
    // Frozen for longer than the test takes: nobody may wait until it is cut off.
    const broker = await bench.broker({ drainTimeoutMs: 600_000, limits: { maximumUnsentBytesPerClient: 1_000_000 } });
    const relay = await bench.relay(broker.port);
    const session = { clientId: 'frozen', clean: false };
    const first = await bench.listener(relay.port, 'a', session);
    const others = [await bench.listener(broker.port, 'a'), await bench.listener(broker.port, 'a')];
    const client = await bench.client(broker.port);
    await client.publishAsync('a', 'before', { qos: 1 });
    await until('the first', () => first.length === 1);
    relay.stall();
    const texts = Array.from({ length: 400 }, (_, i) => `${i} ${LARGE}`);
    for (const text of texts) await client.publishAsync('a', text, { qos: 1 });
    await until('all at the others', () => others.every((received) => received.length === 401), 30_000);
    await until('the end of the frozen one', () => broker.counters.cutOffAsSlow === 1);
    relay.cut();
    const second = await bench.listener(broker.port, 'a', session);
    // The first may come again: its acknowledgement may have been stuck on the way.
    const missed = () => second.map(({ text }) => text).filter((text) => text !== 'before');
    await until('what it missed', () => missed().length >= texts.length, 30_000);
    expect(missed()).toEqual(texts);
    for (const received of others) expect(received.map(({ text }) => text)).toEqual(['before', ...texts]);
  }, 60_000);

  it('lose QoS 0 beyond the limit, counted, and keep their connection', async () => {
    const broker = await bench.broker({ drainTimeoutMs: 600_000, limits: { maximumUnsentBytesPerClient: 1_000_000 } });
    const relay = await bench.relay(broker.port);
    await bench.listener(relay.port, 'a');
    const other = await bench.listener(broker.port, 'b');
    relay.stall();
    const client = await bench.client(broker.port);
    for (let i = 0; i < 400; i++) client.publish('a', LARGE);
    await client.publishAsync('b', 'through', { qos: 1 });
    await until('the other', () => other.length === 1);
    await until('drops', () => broker.counters.droppedForSlowClient > 0);
    expect(broker.counters.cutOffAsSlow).toBe(0);
  }, 30_000);

  it('are cut off when they take nothing at all for the drain time-out', async () => {
    const broker = await bench.broker({ drainTimeoutMs: 200 });
    const relay = await bench.relay(broker.port);
    await bench.listener(relay.port, 'a');
    relay.stall();
    const client = await bench.client(broker.port);
    for (let i = 0; i < 200; i++) client.publish('a', LARGE);
    await until('the end', () => broker.counters.cutOffAsSlow === 1, 30_000);
  }, 40_000);
});
