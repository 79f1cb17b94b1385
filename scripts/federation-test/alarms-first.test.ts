import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunningBroker, startBroker } from '@twinwatch/broker/broker';
import type { Logger } from '@twinwatch/core/runtime';
import { topics } from '@twinwatch/core/wire/topics';
import mqtt from 'mqtt';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../processes/node-runtime.js';
import { announceModel, FEDERATION, openAgent, openServer, type TestServer } from './bed.js';
import { openLine } from './line.js';

/** Order and bytes, not times: what lies before an alarm on a line where nothing can pass anything. */

const log: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const within = { timeout: 60_000, interval: 20 };
const closing: (() => unknown)[] = [];
let directory: string;
let broker: RunningBroker;
let server: TestServer;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'twinwatch-alarms-first-'));
  broker = await startBroker({
    host: '127.0.0.1',
    port: 0,
    dataDir: join(directory, 'broker'),
    clock: systemClock,
    log,
  });
  server = openServer({ port: broker.port, directory, log });
  closing.push(
    () => broker.close(),
    () => server.close(),
  );
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  rmSync(directory, { recursive: true });
});

async function agentBehind(quality: { bytesPerSecond?: number }, old = 0) {
  const line = await openLine(broker.port, quality, Math.random);
  const where = { agent: 'site-1', port: line.port, directory: join(directory, 'site-1'), log };
  if (old > 0) {
    const before = await openAgent({ ...where, isOffline: true });
    for (let i = 1; i <= old; i++) before.raise(i % 2 === 1 ? 'raised' : 'cleared', Math.ceil(i / 2));
    await before.close();
  }
  const agent = await openAgent({ ...where, firstAlarm: old });
  closing.push(line.close, agent.close);
  return agent;
}

describe('alarms first', { timeout: 120_000 }, () => {
  it('never has more than a chunk before an alarm, while a transfer goes up a slow line', async () => {
    // A chunk takes half a second: a disk that is slow to take the alarm lets few of them by.
    const agent = await agentBehind({ bytesPerSecond: 8_000 });
    const { link } = agent.federation;
    await vi.waitFor(() => expect(link.online).toBe(true), within);
    const { up, telemetry } = topics(FEDERATION).agent('site-1');
    const stop = new AbortController();
    const sent = link.sendTransfer(up, new Uint8Array(1_000_000), { signal: stop.signal }).catch(() => undefined);
    const seen: string[] = [];
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${broker.port}`);
    closing.push(() => client.endAsync(true));
    client.on('message', (topic) => seen.push(topic.split('/').at(-1)!));
    await client.subscribeAsync(`tw/v1/${FEDERATION}/agents/site-1/+`, { qos: 1 });
    await vi.waitFor(() => expect(seen.filter((channel) => channel === 'up').length).toBeGreaterThan(3), within);
    // Of each thing less urgent than an alarm there is more than enough.
    const crowd = Array.from({ length: 20 }, () =>
      link.publish(telemetry, new Uint8Array(1_500)).catch(() => undefined),
    );
    const before = seen.length;
    agent.raise();
    await vi.waitFor(() => expect(seen).toContain('alarms'), within);
    const ahead = seen.slice(before, seen.indexOf('alarms'));
    // One chunk, or less, was with the connection; one more may have come while the store wrote the alarm, and each as it was acknowledged.
    expect(ahead.length).toBeLessThanOrEqual(4);
    expect(server.alarms).toHaveLength(1);
    stop.abort();
    await Promise.all([sent, ...crowd]);
  });

  it('sends what has just happened, and what lasts, before what waited; shows each once, and all in the end', async () => {
    const old = 401;
    const agent = await agentBehind({ bytesPerSecond: 200_000 }, old);
    await vi.waitFor(() => expect(server.alarms.length).toBeGreaterThan(20), within);
    // The odd one of the old events was raised and not cleared.
    const lasting = server.alarms.findIndex(({ alarmId }) => alarmId === `site-1:${Math.ceil(old / 2)}`);
    expect(lasting).toBeLessThanOrEqual(1);
    const news = agent.raise();
    const position = server.alarms.length;
    await vi.waitFor(() => expect(server.alarms.map(({ eventId }) => eventId)).toContain(news.eventId), within);
    const ahead = server.alarms.findIndex(({ eventId }) => eventId === news.eventId) - position;
    expect(ahead).toBeLessThan(40);
    await vi.waitFor(() => expect(server.alarms).toHaveLength(old + 1), within);
    expect(new Set(server.alarms.map(({ eventId }) => eventId)).size).toBe(old + 1);
    const others = server.alarms.filter((_, at) => at > 0).map(({ alarmId }) => Number(alarmId.split(':')[1]));
    const replayed = others.filter((number) => number < Math.ceil(old / 2));
    expect(replayed).toEqual([...replayed].sort((a, b) => a - b));
    await vi.waitFor(async () => expect(await agent.store.call('stats')).toMatchObject({ outboxEvents: 0 }), within);
  });

  it('asks for a download in windows that its line takes, so that a receipt never waits behind the whole', async () => {
    const agent = await agentBehind({ bytesPerSecond: 20_000 });
    await vi.waitFor(() => expect(agent.federation.link.online).toBe(true), within);
    const blob = server.journal.putBlob(new Uint8Array(400_000));
    const { request, down } = topics(FEDERATION).agent('site-1');
    const wanted: number[] = [];
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${broker.port}`);
    closing.push(() => client.endAsync(true));
    client.on('message', (topic) => wanted.push(topic === request ? 0 : 1));
    await client.subscribeAsync([request, down], { qos: 1 });
    await announceModel(broker.port, blob);
    await vi.waitFor(() => expect(wanted.filter((one) => one === 0).length).toBeGreaterThan(4), within);
    // Chunks that the server has sent, less those that the agent has: what a receipt would have before it.
    const sent = wanted.filter((one) => one === 1).length;
    const has = agent.federation.link.traffic.in.down?.messages ?? 0;
    expect(sent - has).toBeLessThanOrEqual(9);
    expect(sent).toBeLessThan(60);
  });
});
