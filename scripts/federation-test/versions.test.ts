import { decodeEnvelope } from '@twinwatch/core/wire/envelope';
import type { ProtocolRange } from '@twinwatch/core/wire/protocol';
import { topics } from '@twinwatch/core/wire/topics';
import { checkSite } from '@twinwatch/edge-agent/check';
import { SILENT } from '@twinwatch/twin-server/aggregator/testing/synthetic-plant';
import { agentView } from '@twinwatch/twin-server/api/views';
import mqtt from 'mqtt';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { systemClock, systemTimers } from '../processes/node-runtime.js';
import { FEDERATION, SignedFederation } from '../security-test/signed-federation.js';

/** Servers and agents of releases that speak other protocols, over a real broker, with everything signed. */

const within = { timeout: 60_000, interval: 50 };
const LIMIT_MS = 120_000;
const EVERY: ProtocolRange = { oldest: 0, newest: 9 };
const federation = new SignedFederation();
const all = topics(FEDERATION);

const agents = () => federation.service.runner.state.agents;
const faultOf = (agent: string) => federation.statuses.get(agent)?.health?.deviceFaults['protocol version'];
const shownOf = (agent: string) =>
  agentView(agent, {
    ...{ state: federation.service.runner.state, statuses: federation.statuses, telemetry: new Map() },
  }).unfit;
const on = (topic: string) =>
  federation.seen
    .filter((one) => one.topic === topic)
    .map(({ payload }) => decodeEnvelope(payload, undefined, EVERY).protocol);

/** Whether the tasks to train were sent with their parameters in them. */
const withParameters = (agent: string) =>
  federation.seen
    .filter(({ topic }) => topic === all.agent(agent).task)
    .map(({ payload }) => decodeEnvelope(payload, undefined, EVERY).message)
    .flatMap((message) => (message.kind === 'fit' ? [message.inline !== undefined] : []));

/** What is seen of an agent that has no protocol in common with the server. */
async function refused(agent: string, whom: string): Promise<void> {
  await vi.waitFor(() => {
    expect(faultOf(agent)).toContain(`upgrade ${whom}`);
    expect(shownOf(agent)).toBe(faultOf(agent));
  }, within);
  expect(federation.errors.get(agent)!.join()).toMatch(/takes no part in the federation/);
}

async function servedBy(protocols: ProtocolRange, count: number): Promise<void> {
  await federation.stopServing();
  federation.seen.length = 0;
  await federation.serve({ count, quorum: 1 }, { validationMargin: 1, falseRateMargin: 1 }, protocols);
}

const committed = (count: number) =>
  vi.waitFor(() => expect(federation.service.runner.state.committed).toBe(count), within);

function check(agent: string, protocols: ProtocolRange) {
  return checkSite(federation.site(agent), {
    ...{
      clock: systemClock,
      timers: systemTimers,
      random: Math.random,
      log: SILENT,
      softwareVersion: 'test',
      protocols,
    },
    connect: (options) => mqtt.connect(options.url, options as mqtt.IClientOptions),
  });
}

beforeAll(
  () =>
    federation.start(
      { count: 1, quorum: 1 },
      { 'site-1': { oldest: 1, newest: 2 }, 'site-2': { oldest: 2, newest: 3 } },
      { oldest: 1, newest: 1 },
    ),
  LIMIT_MS,
);
afterAll(() => federation.close());

describe('a server that is older than its agents', { timeout: LIMIT_MS }, () => {
  it('learns with the one that speaks its protocol as well, and both it and the other one say which end to upgrade', async () => {
    await refused('site-2', 'the server');
    await committed(1);
    await vi.waitFor(() => expect(federation.statuses.get('site-1')?.modelVersion).toMatch(/^v1-/), within);
    expect(faultOf('site-1')).toBeUndefined();
    expect(shownOf('site-1')).toBeUndefined();
    expect(agents()).toMatchObject({ 'site-1': { lastRound: 1 }, 'site-2': { lastRound: null, online: true } });
    expect(new Set(on(all.agent('site-1').task))).toEqual(new Set([1]));
    expect(new Set(withParameters('site-1'))).toEqual(new Set([false]));
    expect(federation.seen.some(({ topic }) => topic === all.agent('site-1').down)).toBe(true);
    expect(on(all.agent('site-2').task)).toEqual([]);
    expect(on(all.manifest).at(-1)).toBe(1);
    expect(federation.service.refused.get('site-1')).toBeUndefined();
  });

  it('is found by a check of the agent before it is installed', async () => {
    expect(await check('site-2', { oldest: 2, newest: 3 })).toMatchObject({
      ok: false,
      text: expect.stringMatching(
        /^server: agent site-2 .*speaks protocols 2 to 3.*speaks protocol 1; upgrade the server/m,
      ),
    });
    expect(await check('site-1', { oldest: 1, newest: 2 })).toMatchObject({
      ok: true,
      text: expect.stringContaining('server: there, release 1, protocol 1'),
    });
  });

  it('is upgraded: who was left out takes part, each in the highest protocol of both', async () => {
    await servedBy({ oldest: 1, newest: 2 }, 2);
    await committed(2);
    await vi.waitFor(() => {
      for (const agent of ['site-1', 'site-2']) {
        expect(federation.statuses.get(agent)?.modelVersion).toMatch(/^v\d-/);
        expect(faultOf(agent)).toBeUndefined();
        expect(shownOf(agent)).toBeUndefined();
        expect(on(all.agent(agent).hello).at(-1)).toBe(2);
      }
      expect(on(all.manifest).at(-1)).toBe(2);
    }, within);
    expect(new Set([...withParameters('site-1'), ...withParameters('site-2')])).toEqual(new Set([true]));
  });
});

describe('a server that is newer than some of its agents', { timeout: LIMIT_MS }, () => {
  it('goes on with the others', async () => {
    await servedBy({ oldest: 3, newest: 3 }, 3);
    await refused('site-1', 'agent site-1');
    await committed(3);
    expect(agents()).toMatchObject({ 'site-1': { online: true, compatible: false }, 'site-2': { lastRound: 3 } });
    expect(faultOf('site-2')).toBeUndefined();
    expect(new Set(on(all.agent('site-2').task))).toEqual(new Set([3]));
  });

  it('asks an agent again once it was upgraded', async () => {
    await federation.stopAgent('site-1');
    await federation.startAgent('site-1', { oldest: 2, newest: 3 });
    await vi.waitFor(() => {
      expect(agents()['site-1']).toMatchObject({ online: true, compatible: true });
      expect(shownOf('site-1')).toBeUndefined();
    }, within);
    expect(faultOf('site-1')).toBeUndefined();
    expect(federation.errors.get('site-1')).toEqual([]);
  });
});
