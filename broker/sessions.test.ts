import type { Clock, Logger } from '@twinwatch/core/runtime';
import { topics } from '@twinwatch/core/wire/topics';
import { afterEach, describe, expect, it } from 'vitest';
import type { BrokerOptions, RunningBroker } from './broker.js';
import { TestBench, until } from './test-bench.js';

const bench = new TestBench();
afterEach(() => bench.close());

/** A clock that is moved by hand. */
class Hands implements Clock {
  wallMs = Date.parse('2026-01-01');
  ranMs = 0;
  readonly now = () => this.wallMs;
  readonly monotonic = () => this.ranMs;
}

const DAY_MS = 86_400_000;
const credentials = [
  { username: 'site-1', password: 'first password', role: 'agent' as const, agent: 'site-1' },
  { username: 'site-2', password: 'other password', role: 'agent' as const, agent: 'site-2' },
  { username: 'server', password: 'second password', role: 'server' as const },
];
const as = (index: number) => ({ username: credentials[index]!.username, password: credentials[index]!.password });
const session = (clientId: string) => ({ clientId, clean: false });

/** Whether the broker still had something of it. */
async function isKnown(port: number, clientId: string, login = {}): Promise<boolean> {
  let known = false;
  const client = await bench.client(port, { ...session(clientId), ...login }, undefined, (packet) => {
    known = packet.sessionPresent;
  });
  await client.endAsync();
  return known;
}

async function subscribeAndLeave(port: number, clientId: string, filter = 'q', login = {}): Promise<void> {
  const client = await bench.client(port, { ...session(clientId), ...login });
  await client.subscribeAsync(filter, { qos: 1 });
  await client.endAsync();
}

async function publish(broker: RunningBroker, texts: readonly string[]): Promise<void> {
  const client = await bench.client(broker.port);
  for (const text of texts) await client.publishAsync('q', text, { qos: 1 });
  await client.endAsync();
}

describe('sessions', () => {
  it('of clients that stay away are dropped with what waits in them, by the time that the broker ran, over restarts', async () => {
    const dataDir = await bench.directory();
    const lines: object[] = [];
    const quiet = () => undefined;
    const log: Logger = { debug: quiet, info: quiet, error: quiet, warn: (fields) => lines.push(fields as object) };
    const start = (clock: Clock) => bench.broker({ dataDir, clock, log, maximumAbsenceMs: 30 * DAY_MS });
    const first = new Hands();
    const one = await start(first);
    await subscribeAndLeave(one.port, 'gone');
    await publish(one, ['never read']);
    first.ranMs += 20 * DAY_MS;
    await subscribeAndLeave(one.port, 'back');
    await one.close();

    // Off for a year, and then with a clock from before.
    const second = new Hands();
    second.wallMs += 365 * DAY_MS;
    const two = await start(second);
    expect(two.counters.expiredSessions).toBe(0);
    second.wallMs = 0;
    second.ranMs += 11 * DAY_MS;
    await two.close();
    const three = await start(new Hands());
    expect(three.counters).toMatchObject({ expiredSessions: 1, droppedWithSession: 1 });
    expect(lines).toContainEqual(
      expect.objectContaining({ client: 'gone', awayHours: 31 * 24, messages: 1, bytes: 'qnever read'.length }),
    );
    expect(await isKnown(three.port, 'back')).toBe(true);
    expect(await isKnown(three.port, 'gone')).toBe(false);
    const received = await bench.listener(three.port, 'q', session('gone'));
    await publish(three, ['news']);
    await until('what came afterwards', () => received.length > 0);
    expect(received.map(({ text }) => text)).toEqual(['news']);
  });

  it('are looked after while the broker runs, and those of clients that are connected stay', async () => {
    const broker = await bench.broker({
      maximumAbsenceMs: 400,
      metrics: { host: '127.0.0.1', port: 0, interval: 100 },
    });
    const present = await bench.listener(broker.port, 'q', session('present'));
    await subscribeAndLeave(broker.port, 'away');
    await until('the end of one', () => broker.counters.expiredSessions === 1);
    const metrics = await (await fetch(`http://127.0.0.1:${broker.metricsPort}/metrics`)).text();
    expect(metrics).toMatch(/twinwatch_broker_sessions 1\n/);
    expect(metrics).toMatch(/twinwatch_broker_expired_sessions_total 1\n/);
    await publish(broker, ['still there']);
    await until('the message', () => present.length === 1);
  });

  it('are as many as may be: the longest absent goes, who is connected never, and the next finds no room', async () => {
    const dataDir = await bench.directory();
    const options: Partial<BrokerOptions> = { dataDir, limits: { maximumSessions: 3 } };
    const one = await bench.broker(options);
    const present = await bench.listener(one.port, 'q', session('present'));
    for (let i = 0; i < 20; i++) await subscribeAndLeave(one.port, `new-${i}`);
    expect(one.counters).toMatchObject({ evictedSessions: 18, refusedSessions: 0 });
    await publish(one, ['for three']);
    await until('what is said to who is there', () => present.length === 1);
    await one.close();
    const two = await bench.broker(options);
    expect(await isKnown(two.port, 'present')).toBe(true);
    await bench.client(two.port, session('present'));
    for (const id of ['new-18', 'new-19']) {
      const received = await bench.listener(two.port, 'q', session(id));
      await until(`what waited for ${id}`, () => received.length === 1);
    }
    await expect(bench.client(two.port, session('new-20'))).rejects.toThrow(/server unavailable/i);
    expect(two.counters).toMatchObject({ evictedSessions: 0, refusedSessions: 1 });
    expect((await bench.client(two.port, { clientId: 'without-one' })).connected).toBe(true);
  });

  it('of one agent take no room from others', async () => {
    const broker = await bench.broker({ credentials, limits: { maximumSessions: 8, maximumSessionsPerAgent: 2 } });
    const task = (agent: string) => topics('demo').agent(agent).task;
    await subscribeAndLeave(broker.port, 'twinwatch-demo-site-1', task('site-1'), as(0));
    for (let i = 0; i < 12; i++) await subscribeAndLeave(broker.port, `fresh-${i}`, task('site-2'), as(1));
    expect(broker.counters.evictedSessions).toBe(10);
    expect(await isKnown(broker.port, 'twinwatch-demo-site-1', as(0))).toBe(true);
    expect(await isKnown(broker.port, 'fresh-11', as(1))).toBe(true);
  });

  it('are ended by their clients, and nobody has one without a name', async () => {
    const broker = await bench.broker();
    await subscribeAndLeave(broker.port, 'a');
    await publish(broker, ['for nobody']);
    await (await bench.client(broker.port, { clientId: 'a', clean: true })).endAsync();
    expect(await isKnown(broker.port, 'a')).toBe(false);
    expect(broker.counters.droppedWithSession).toBe(0);
    // mqtt.js would make up a name; MQTT 3.1.1, section 3.1.3.1.
    const answer = await bench.raw(broker.port, [0x10, 0x0c, 0, 4, ...Buffer.from('MQTT'), 4, 0, 0, 0, 0, 0]);
    expect([...answer]).toEqual([0x20, 2, 0, 2]);
  });

  it('hold no more together than may be, and each has a share that others cannot take', async () => {
    const mebibyte = 1024 * 1024;
    const broker = await bench.broker({ limits: { maximumSessions: 4, maximumQueuedBytes: mebibyte } });
    for (const id of ['greedy-1', 'greedy-2']) await subscribeAndLeave(broker.port, id);
    await publish(broker, new Array(20).fill('x'.repeat(40_000)));
    // Half is for all: 13 in there, and what is their own, 3 for each.
    expect(broker.counters.droppedForFullQueue).toBeGreaterThan(20);
    await subscribeAndLeave(broker.port, 'modest', 'modest');
    const client = await bench.client(broker.port);
    await client.publishAsync('modest', 'y'.repeat(40_000), { qos: 1 });
    const received = await bench.listener(broker.port, 'modest', session('modest'));
    await until('its message', () => received.length === 1);
  });

  it('keep no more of QoS 2 than may be, over restarts, and lose nothing of it', async () => {
    const dataDir = await bench.directory();
    const metrics = { host: '127.0.0.1', port: 0, interval: 100 };
    const start = () => bench.broker({ dataDir, metrics, limits: { maximumQueuedBytesPerClient: 65_536 } });
    const kept = async (broker: RunningBroker) => {
      const text = await (await fetch(`http://127.0.0.1:${broker.metricsPort}/metrics`)).text();
      return Number(/^twinwatch_broker_incoming_bytes (\d+)$/m.exec(text)?.[1]);
    };
    let broker = await start();
    const received = await bench.listener(broker.port, 'q');
    // Five of 30,000 bytes, none of which it ever releases (PUBREL).
    const body = (id: number) => Buffer.concat([Buffer.from([0, 1, 0x71, 0, id]), Buffer.alloc(30_000, 0x30 + id)]);
    const publishes = [1, 2, 3, 4, 5].map(body).flatMap((bytes) => [0x34, ...variableLength(bytes.length), ...bytes]);
    const connect = [0x10, 0x0d, 0, 4, ...Buffer.from('MQTT'), 4, 0, 0, 0, 0, 1, 0x68];
    await bench.raw(broker.port, [...connect, ...publishes]);
    await until('all of them', () => received.length === 5);
    expect(await kept(broker)).toBe(2 * 30_001);
    await broker.close();
    broker = await start();
    expect(await kept(broker)).toBe(2 * 30_001);
    await (await bench.client(broker.port, { clientId: 'h', clean: true })).endAsync();
    expect(await kept(broker)).toBe(0);
  });
});

/** MQTT 3.1.1, section 2.2.3. */
function variableLength(length: number): number[] {
  const rest = Math.floor(length / 128);
  return rest === 0 ? [length] : [(length % 128) + 128, ...variableLength(rest)];
}

describe('the order of what is queued', () => {
  it('and all of it outlasts a clock that goes back, or stands still', async () => {
    const dataDir = await bench.directory();
    const clock = new Hands();
    const start = () => bench.broker({ dataDir, clock });
    let broker = await start();
    await subscribeAndLeave(broker.port, 'away');
    await publish(broker, ['1', '2']);
    for (const [wallMs, text] of [
      [0, '3'],
      [0, '4'],
      [Date.parse('2025-06-01'), '5'],
    ] as const) {
      await broker.close();
      clock.wallMs = wallMs;
      broker = await start();
      await publish(broker, [text]);
    }
    const received = await bench.listener(broker.port, 'q', session('away'));
    await until('what waited', () => received.length >= 5);
    expect(received.map(({ text }) => text)).toEqual(['1', '2', '3', '4', '5']);
  });
});
