import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunningBroker, startBroker } from '@twinwatch/broker/broker';
import type { Logger } from '@twinwatch/core/runtime';
import { checkSite } from '@twinwatch/edge-agent/check';
import { loadSite } from '@twinwatch/edge-agent/site-config';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock, systemTimers } from '../processes/node-runtime.js';
import { openAgent, openServer, type TestServer } from './bed.js';

/** Two real agents that call themselves the same. */

const log: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const within = { timeout: 60_000, interval: 20 };
const closing: (() => unknown)[] = [];
let directory: string;
let broker: RunningBroker;
let server: TestServer;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'twinwatch-one-identity-'));
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

async function start(host: string, startedAtMs: number) {
  const errors: string[] = [];
  const agent = await openAgent({
    ...{ agent: 'site-1', port: broker.port, directory: join(directory, host) },
    clock: { now: () => startedAtMs, monotonic: () => performance.now() },
    log: { ...log, error: (_context, message) => void errors.push(message) },
    rest: { host },
  });
  closing.push(agent.close);
  return { agent, errors };
}

/** What `twinwatch agent --check` says on another machine. */
async function check() {
  const file = join(directory, 'agent.yaml');
  writeFileSync(
    file,
    `{federation: test, agent: site-1, broker: {url: 'mqtt://127.0.0.1:${broker.port}'}, dataDir: data, interval: 1s, buses: []}`,
  );
  return checkSite(await loadSite(file), { clock: systemClock, timers: systemTimers, log } as never);
}

const identityFault = () => server.statusOf('site-1')?.health?.deviceFaults.identity ?? '';

describe('two agents with one identity', { timeout: 120_000 }, () => {
  it('stop pushing each other off: the one that started later gives way, the other one says so, and goes on', async () => {
    const first = await start('pi-3', 1_700_000_000_000);
    await vi.waitFor(() => expect(server.statusOf('site-1')?.online).toBe(true), within);
    const second = await start('pi-7', 1_700_000_600_000);
    await vi.waitFor(() => expect(second.errors.join()).toContain('gives way'), within);
    expect(second.errors.join()).toContain('another agent calls itself site-1, on pi-3');
    await vi.waitFor(() => expect(identityFault()).toContain('on pi-7, started 2023-11-14T22:23:20.000Z'), within);
    const { connectionId } = first.agent.federation.link;
    const event = first.agent.raise();
    await vi.waitFor(() => expect(server.alarms.map(({ eventId }) => eventId)).toContain(event.eventId), within);
    expect(second.agent.federation.link.online).toBe(false);
    expect(first.agent.federation.link.connectionId).toBe(connectionId);
    expect(server.statusOf('site-1')).toMatchObject({ online: true, connectionId, instance: { host: 'pi-3' } });
    expect(first.errors.join()).not.toContain('gives way');
    const checked = await check();
    expect(checked.text).toContain('site-1 is connected now, and says: another agent calls itself site-1, on pi-7');
    expect(checked.ok).toBe(false);
    // What the one that gave way detects meanwhile stays with it.
    second.agent.raise('raised', 77);
    await vi.waitFor(
      async () => expect(await second.agent.store.call('stats')).toMatchObject({ outboxEvents: 1 }),
      within,
    );
  });

  it('does not take an agent that was started again for two', async () => {
    const before = await start('pi-3', 1_700_000_000_000);
    await vi.waitFor(() => expect(server.statusOf('site-1')?.online).toBe(true), within);
    expect((await check()).text).toContain('another agent calls itself site-1, on pi-3');
    closing.splice(closing.indexOf(before.agent.close), 1);
    await before.agent.close();
    // Its clock was set back, and so it seems to have started earlier.
    const after = await start('pi-3', 1_600_000_000_000);
    await vi.waitFor(
      () => expect(server.statusOf('site-1')).toMatchObject({ online: true, atMs: 1_600_000_000_000 }),
      within,
    );
    for (let i = 0; i < 3; i++) {
      const told = server.statusOf('site-1');
      await vi.waitFor(() => expect(server.statusOf('site-1')).not.toBe(told), within);
    }
    expect(identityFault()).toBe('');
    expect(after.errors).toEqual([]);
  });
});
