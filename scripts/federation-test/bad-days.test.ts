import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startBroker } from '@twinwatch/broker/broker';
import { createRandom } from '@twinwatch/core/learning/random';
import type { Logger } from '@twinwatch/core/runtime';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../processes/node-runtime.js';
import { openAgent, openServer, type TestServer } from './bed.js';
import { openLine } from './line.js';

/** What a bad line, a broker that is another one, and clocks that jump do to a federation: nothing that is seen twice, or not at all. */

const log: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const within = { timeout: 90_000, interval: 20 };
const closing: (() => unknown)[] = [];
let directory: string;
let server: TestServer;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'twinwatch-bad-days-'));
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  rmSync(directory, { recursive: true });
});

function brokerAt(port: number, name: string) {
  return startBroker({ host: '127.0.0.1', port, dataDir: join(directory, name), clock: systemClock, log });
}

const seen = () => server.alarms.map(({ eventId }) => eventId);

describe('bad days', { timeout: 200_000 }, () => {
  it('a line with delay, jitter, loss, resets, and a silence: every alarm arrives, and is seen once', async () => {
    const broker = await brokerAt(0, 'broker');
    server = openServer({ port: broker.port, directory, log });
    const random = createRandom('bad line');
    const bad = { delayMs: 30, jitterMs: 40, lossShare: 0.03, resetShare: 0.02 };
    const line = await openLine(broker.port, bad, () => random.next());
    const agent = await openAgent({ agent: 'site-1', port: line.port, directory: join(directory, 'site-1'), log });
    closing.push(broker.close, server.close, line.close, agent.close);
    const { link } = agent.federation;
    const connections = new Set<string>();
    const raised: string[] = [];
    for (let i = 0; i < 60; i++) {
      raised.push(agent.raise().eventId);
      await new Promise((resolve) => setTimeout(resolve, 50));
      if (link.online) connections.add(link.connectionId);
    }
    // Half-open: neither end hears of it but by its own deadlines.
    await vi.waitFor(() => expect(link.online).toBe(true), within);
    line.freeze();
    raised.push(agent.raise().eventId);
    await vi.waitFor(() => expect(link.online).toBe(false), within);
    line.quality({});
    line.heal();
    await vi.waitFor(() => expect(new Set(seen())).toEqual(new Set(raised)), within);
    expect(server.alarms).toHaveLength(raised.length);
    expect(connections.size).toBeGreaterThan(1);
    await vi.waitFor(async () => expect(await agent.store.call('stats')).toMatchObject({ outboxEvents: 0 }), within);
  });

  it('another, empty broker at the same address: sessions, presence and alarms come back by themselves', async () => {
    const first = await brokerAt(0, 'first');
    server = openServer({ port: first.port, directory, log });
    const agent = await openAgent({ agent: 'site-1', port: first.port, directory: join(directory, 'site-1'), log });
    closing.push(server.close, agent.close);
    const before = agent.raise().eventId;
    await vi.waitFor(() => expect(seen()).toEqual([before]), within);
    const known = server.statusOf('site-1')?.connectionId;
    await first.close();
    await vi.waitFor(() => expect(agent.federation.link.online).toBe(false), within);
    const between = agent.raise().eventId;
    const second = await brokerAt(first.port, 'second');
    closing.unshift(second.close);
    await vi.waitFor(() => expect(seen()).toEqual([before, between]), within);
    await vi.waitFor(() => expect(server.statusOf('site-1')?.connectionId).not.toBe(known), within);
    expect(server.statusOf('site-1')).toMatchObject({ online: true, health: { deviceFaults: {} } });
    const after = agent.raise().eventId;
    await vi.waitFor(() => expect(seen()).toEqual([before, between, after]), within);
  });

  it('clocks that jump, forth and back, on either end: what waits waits by a clock that does not', async () => {
    const broker = await brokerAt(0, 'broker');
    let aheadMs = 0;
    const clock = { now: () => Date.now() + aheadMs, monotonic: () => performance.now() };
    server = openServer({ port: broker.port, directory, log, clock });
    const agent = await openAgent({
      agent: 'site-1',
      port: broker.port,
      directory: join(directory, 'site-1'),
      log,
      clock,
    });
    closing.push(broker.close, server.close, agent.close);
    await vi.waitFor(() => expect(agent.federation.link.online).toBe(true), within);
    const { connectionId } = agent.federation.link;
    const raised: string[] = [];
    for (const jumpMs of [0, 20 * 365 * 86_400_000, -30 * 365 * 86_400_000, 3_600_000]) {
      aheadMs = jumpMs;
      raised.push(agent.raise().eventId);
      await vi.waitFor(() => expect(seen()).toEqual(raised), within);
    }
    expect(agent.federation.link.connectionId).toBe(connectionId);
    await vi.waitFor(async () => expect(await agent.store.call('stats')).toMatchObject({ outboxEvents: 0 }), within);
  });
});
