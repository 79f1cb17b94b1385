import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startBroker } from '@twinwatch/broker/broker';
import { BuiltinEngine } from '@twinwatch/core/learning/builtin-engine';
import { PARAMETER_CODECS } from '@twinwatch/core/wire/parameter-codec';
import { runFederation } from '@twinwatch/twin-server/aggregator/in-process';
import type { Journal } from '@twinwatch/twin-server/aggregator/journal';
import { openJournal } from '@twinwatch/twin-server/aggregator/sqlite-journal';
import { normalClients, SILENT, syntheticConfig } from '@twinwatch/twin-server/aggregator/testing/synthetic-plant';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../processes/node-runtime.js';
import { LIVE_SEED, liveTwin, RUN, runLive, VALIDATION_SHARE } from './live-federation.js';

/** The same rows, twin and seed, once with real agents over a real broker and once in one process: every method, bit for bit. */

const engine = new BuiltinEngine();
/** Names in another order than that in which the agents are started. */
const clients = normalClients(2, 2).map((client, k) => ({ ...client, id: ['z', 'a'][k]! }));

let directory: string;
let broker: Awaited<ReturnType<typeof startBroker>>;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'twinwatch-live-'));
  const dataDir = join(directory, 'broker');
  broker = await startBroker({ host: '127.0.0.1', port: 0, dataDir, clock: systemClock, log: SILENT });
});
afterAll(async () => {
  await broker.close();
  rmSync(directory, { recursive: true });
});

type Outcome = NonNullable<ReturnType<Journal['loadState']>>;

async function simulated(rounds: object): Promise<Outcome> {
  const { detector, rounds: settings } = syntheticConfig(rounds);
  const journal = openJournal(':memory:');
  const request = { clients, twin: liveTwin, detector, rounds: settings, engine, seed: LIVE_SEED };
  const goOn = { journal, labelsChanged: false };
  await runFederation({ ...request, validationShare: VALIDATION_SHARE, now: () => 1_000, log: SILENT, goOn });
  const state = journal.loadState(RUN)!;
  journal.close();
  return state;
}

async function bothWays(federation: string, settings: object) {
  const rounds = { count: 2, epochs: 1, quorum: 2, exchangeRows: 60, deadline: '1h', ...settings };
  const url = `mqtt://127.0.0.1:${broker.port}`;
  const ours = await simulated(rounds);
  const { state: theirs } = await runLive({ federation, directory, clients, rounds, url });
  const { lineageHash, globalHash, twinHash, teacher, best } = ours;
  expect(theirs).toMatchObject({ lineageHash, globalHash, twinHash, teacher, best });
  expect(theirs.released?.parametersHash).toBe(ours.released?.parametersHash);
}

const METHODS = ['fedavg', 'fedprox', 'dtml', 'fpf', 'lpe', 'cwa', 'dtkd'] as const;

describe.concurrent('a live and a simulated federation', { timeout: 90_000 }, () => {
  it.each([
    ['dtml', { dtml: { clipNorm: 1, decay: 0.1, skipRising: true } }],
    ['lpe', { lpe: { policy: 'adaptive' } }],
    ['dtkd', { dtkd: { teacherCodec: 'f16', softLabels: 'onTheFly' } }],
    // One of the two sends as something else.
    ['cwa', { agentCodecs: { a: 'f16' }, codec: 'topk-int8', topKShare: 0.1 }],
  ])('come to the same bits with %s %j', async (method, settings) => {
    await bothWays(`${method}-${JSON.stringify(settings).length}`, { method, codec: 'int8', ...settings });
  });

  // Each method with one codec, and each codec with a method that masks layers: the rest is in one process, and the same code.
  it.each([
    ...METHODS.map((method, k) => [method, PARAMETER_CODECS[k % PARAMETER_CODECS.length]!] as const),
    ...PARAMETER_CODECS.filter((codec) => codec !== PARAMETER_CODECS[4]).map((codec) => ['lpe', codec] as const),
  ])('come to the same bits with %s as %s', async (method, codec) => {
    await bothWays(`${method}-${codec}`, { method, codec });
  });
});
