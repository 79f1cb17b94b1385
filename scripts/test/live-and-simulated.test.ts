import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startBroker } from '@twinwatch/broker/broker';
import { agentSchema } from '@twinwatch/core/config/agent';
import { BuiltinEngine } from '@twinwatch/core/learning/builtin-engine';
import { type AgentRuntime, openStore, runAgent } from '@twinwatch/edge-agent/agent';
import type { SiteConfig } from '@twinwatch/edge-agent/site-config';
import type { ClientRows } from '@twinwatch/twin-server/aggregator/client-examples';
import { runFederation } from '@twinwatch/twin-server/aggregator/in-process';
import { type Journal, openJournal } from '@twinwatch/twin-server/aggregator/journal';
import { buildSchema } from '@twinwatch/twin-server/aggregator/lineage';
import { RoundWork } from '@twinwatch/twin-server/aggregator/round-work';
import {
  normalClients,
  SILENT,
  syntheticConfig,
  syntheticTwin,
  TAGS,
} from '@twinwatch/twin-server/aggregator/testing/synthetic-plant';
import { splitEpisodes, twinFeatures } from '@twinwatch/twin-server/aggregator/twin-rows';
import { FederationService } from '@twinwatch/twin-server/federation-service';
import mqtt from 'mqtt';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { systemClock, systemTimers } from '../processes/node-runtime.js';

/** The same rows, twin and seed, once with real agents over a real broker and once in one process: every method, bit for bit. */

const RUN = 'in-process';
const SEED = 7;
const SHARE = 0.5;
const within = { timeout: 60_000, interval: 20 };
const TAG_NAMES = TAGS.map(({ name }) => name);
const twin = syntheticTwin(1, 4);
const engine = new BuiltinEngine();
/** Names in another order than that in which the agents are started. */
const clients = normalClients(2, 2).map((client, k) => ({ ...client, id: ['z', 'a'][k]! }));

const runtime: AgentRuntime = {
  ...{ softwareVersion: 'test', clock: systemClock, timers: systemTimers, random: Math.random, log: SILENT },
  connect: (options) => mqtt.connect(options.url, options as mqtt.IClientOptions),
  rssBytes: () => process.memoryUsage.rss(),
};

let directory: string;
let broker: Awaited<ReturnType<typeof startBroker>>;
let url: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'twinwatch-live-'));
  const dataDir = join(directory, 'broker');
  broker = await startBroker({ host: '127.0.0.1', port: 0, dataDir, clock: systemClock, log: SILENT });
  url = `mqtt://127.0.0.1:${broker.port}`;
});
afterAll(async () => {
  await broker.close();
  rmSync(directory, { recursive: true });
});

interface RunningAgent {
  readonly ended: Promise<void>;
}

/** An agent that has the client's rows as imported history, and no device. */
async function startAgent(federation: string, { id, rows }: ClientRows, signal: AbortSignal): Promise<RunningAgent> {
  const dataDir = join(directory, federation, id);
  mkdirSync(dataDir, { recursive: true });
  const config = agentSchema.parse({
    ...{ federation, agent: id, broker: { url }, dataDir, interval: '15m' },
    training: { engine: 'builtin' },
  });
  const site: SiteConfig = { config, configPath: dataDir, dataDir, buses: [], tags: TAG_NAMES };
  const store = await openStore(site, runtime);
  await store.call('importRows', {
    tags: TAG_NAMES,
    timesMs: Float64Array.from(rows, ({ timeMs }) => timeMs),
    values: Float64Array.from(rows.flatMap(({ values }) => [...values])),
    labels: new Int8Array(rows.length).fill(-1),
  });
  await store.close();
  return new Promise((onReady) => {
    const ended = runAgent(site, runtime, signal, () => onReady({ ended }));
  });
}

type Outcome = NonNullable<ReturnType<Journal['loadState']>>;

async function live(federation: string, rounds: object): Promise<Outcome> {
  const config = syntheticConfig(rounds);
  const { detector } = config;
  const episodes = splitEpisodes(twin.episodes, { validationShare: SHARE, seed: SEED });
  const schema = buildSchema(detector, twin, episodes.training);
  const plan = { federation, schema, detector, rounds: config.rounds, seed: SEED };
  const work = new RoundWork(plan, engine, twinFeatures(schema, episodes));
  const journal = openJournal(join(directory, `${federation}.db`));
  const stopping = new AbortController();
  const ignore = () => undefined;
  const service = new FederationService({
    ...{ plan, work, journal, run: RUN, broker: { url, connect: runtime.connect }, softwareVersion: '1' },
    ...{ clock: systemClock, timers: systemTimers, random: Math.random, log: SILENT },
    observer: { onStep: ignore, onStatus: ignore, onTelemetry: ignore, onAlarm: ignore },
    desk: { waiting: () => [], answered: () => false },
    onFatal: (error) => {
      throw error;
    },
  });
  service.start();
  const agents = await Promise.all(clients.map((client) => startAgent(federation, client, stopping.signal)));
  try {
    await vi.waitFor(() => {
      const { committed, release, released } = service.runner.state;
      expect({ committed, release, isReleased: released !== null }).toEqual({
        ...{ committed: config.rounds.count, release: null, isReleased: true },
      });
    }, within);
    return journal.loadState(RUN)!;
  } finally {
    stopping.abort();
    await Promise.all(agents.map(({ ended }) => ended));
    await service.stop();
    journal.close();
  }
}

async function simulated(rounds: object): Promise<Outcome> {
  const { detector, rounds: settings } = syntheticConfig(rounds);
  const journal = openJournal(':memory:');
  const request = { clients, twin, detector, rounds: settings, engine, validationShare: SHARE, seed: SEED };
  await runFederation({ ...request, now: () => 1_000, log: SILENT, goOn: { journal, labelsChanged: false } });
  const state = journal.loadState(RUN)!;
  journal.close();
  return state;
}

describe.concurrent('a live and a simulated federation', { timeout: 90_000 }, () => {
  it.each([
    ['fedavg', {}],
    ['fedprox', { codec: 'f32' }],
    ['dtml', { dtml: { clipNorm: 1, decay: 0.1, skipRising: true } }],
    ['fpf', {}],
    ['lpe', {}],
    ['lpe', { lpe: { policy: 'adaptive' } }],
    ['cwa', {}],
    ['dtkd', {}],
    ['dtkd', { dtkd: { teacherCodec: 'int8', softLabels: 'onTheFly' } }],
  ])('come to the same bits with %s %j', async (method, settings) => {
    const rounds = { method, count: 2, epochs: 1, quorum: 2, exchangeRows: 60, deadline: '1h', ...settings };
    const federation = `${method}-${JSON.stringify(settings).length}`;
    const [ours, theirs] = [await simulated(rounds), await live(federation, rounds)];
    const { lineageHash, globalHash, twinHash, teacher, best } = ours;
    expect(theirs).toMatchObject({ lineageHash, globalHash, twinHash, teacher, best });
    expect(theirs.released?.parametersHash).toBe(ours.released?.parametersHash);
  });
});
