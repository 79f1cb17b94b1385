import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { agentSchema } from '@twinwatch/core/config/agent';
import { BuiltinEngine } from '@twinwatch/core/learning/builtin-engine';
import type { RoundView } from '@twinwatch/core/wire/http';
import { type AgentRuntime, openStore, runAgent } from '@twinwatch/edge-agent/agent';
import type { SiteConfig } from '@twinwatch/edge-agent/site-config';
import type { ClientRows } from '@twinwatch/twin-server/aggregator/client-examples';
import { buildSchema } from '@twinwatch/twin-server/aggregator/lineage';
import { RoundWork } from '@twinwatch/twin-server/aggregator/round-work';
import type { FederationState } from '@twinwatch/twin-server/aggregator/rounds/round-state';
import { openJournal } from '@twinwatch/twin-server/aggregator/sqlite-journal';
import {
  SILENT,
  syntheticConfig,
  syntheticTwin,
  TAGS,
} from '@twinwatch/twin-server/aggregator/testing/synthetic-plant';
import { splitEpisodes, twinFeatures } from '@twinwatch/twin-server/aggregator/twin-rows';
import type { FederationServiceOptions } from '@twinwatch/twin-server/federation-options';
import { FederationService } from '@twinwatch/twin-server/federation-service';
import mqtt from 'mqtt';
import { expect, vi } from 'vitest';
import { systemClock, systemTimers } from '../processes/node-runtime.js';

/** A server and agents with the product's own code, over a real broker, on the synthetic plant's rows. */

/** Of the journal, as in a federation within one process. */
export const RUN = 'in-process';
export const LIVE_SEED = 7;
export const VALIDATION_SHARE = 0.5;
export const liveTwin = syntheticTwin(1, 4);

const TAG_NAMES = TAGS.map(({ name }) => name);
const within = { timeout: 60_000, interval: 20 };

const runtime: AgentRuntime = {
  ...{ softwareVersion: 'test', clock: systemClock, timers: systemTimers, random: Math.random, log: SILENT },
  connect: (options) => mqtt.connect(options.url, options as mqtt.IClientOptions),
  rssBytes: () => process.memoryUsage.rss(),
};

export interface LiveFederation {
  readonly federation: string;
  /** For journal and agents. */
  readonly directory: string;
  readonly clients: readonly ClientRows[];
  readonly rounds: object;
  readonly detector?: object;
  /** Of the broker, and of what the agents take for it. */
  readonly url: string;
  readonly agentUrl?: string;
}

/** Runs all rounds and the release. */
export async function runLive(request: LiveFederation): Promise<{ state: FederationState; rounds: RoundView[] }> {
  const { federation, directory, clients, url } = request;
  const journal = openJournal(join(directory, `${federation}.db`));
  const stopping = new AbortController();
  const service = liveService(request, { journal, run: RUN, broker: { url, connect: runtime.connect } });
  service.start();
  const agents = await Promise.all(clients.map((client) => startAgent(request, client, stopping.signal)));
  try {
    await vi.waitFor(() => {
      const { committed, release, released } = service.runner.state;
      expect({ committed, release, isReleased: released !== null }).toEqual({
        ...{ committed: syntheticConfig(request.rounds).rounds.count, release: null, isReleased: true },
      });
    }, within);
    return { state: journal.loadState(RUN)!, rounds: journal.rounds(RUN) };
  } finally {
    stopping.abort();
    await Promise.all(agents.map(({ ended }) => ended));
    await service.stop();
    journal.close();
  }
}

/** A server on the synthetic plant, whose twin has been simulated. */
export function liveService(
  { federation, rounds, detector }: Pick<LiveFederation, 'federation' | 'rounds' | 'detector'>,
  given: Pick<FederationServiceOptions, 'journal' | 'run' | 'broker'> & Partial<FederationServiceOptions>,
): FederationService {
  const config = syntheticConfig(rounds, detector);
  const episodes = splitEpisodes(liveTwin.episodes, { validationShare: VALIDATION_SHARE, seed: LIVE_SEED });
  const schema = buildSchema(config.detector, liveTwin, episodes.training);
  const plan = { federation, schema, detector: config.detector, rounds: config.rounds, seed: LIVE_SEED };
  const ignore = () => undefined;
  return new FederationService({
    ...{ plan, work: new RoundWork(plan, new BuiltinEngine(), twinFeatures(schema, episodes)), softwareVersion: '1' },
    ...{ clock: systemClock, timers: systemTimers, random: Math.random, log: SILENT },
    observer: { onStep: ignore, onStatus: ignore, onTelemetry: ignore, onAlarm: ignore },
    desk: { waiting: () => [], answered: () => false },
    onFatal: (error) => {
      throw error;
    },
    ...given,
  });
}

/** An agent that has the client's rows as imported history, and no device. */
async function startAgent(
  { federation, directory, url, agentUrl }: LiveFederation,
  { id, rows }: ClientRows,
  signal: AbortSignal,
): Promise<{ readonly ended: Promise<void> }> {
  const dataDir = join(directory, federation, id);
  mkdirSync(dataDir, { recursive: true });
  const config = agentSchema.parse({
    ...{ federation, agent: id, broker: { url: agentUrl ?? url }, dataDir, interval: '15m' },
    training: { engine: 'builtin' },
  });
  const site: SiteConfig = { config, configPath: dataDir, dataDir, buses: [], tags: TAG_NAMES };
  await importHistory(site, runtime, rows);
  return new Promise((onReady) => {
    const ended = runAgent(site, runtime, signal, () => onReady({ ended }));
  });
}

/** Rows that an agent has before it starts. */
export async function importHistory(site: SiteConfig, of: AgentRuntime, rows: ClientRows['rows']): Promise<void> {
  const store = await openStore(site, of);
  await store.call('importRows', {
    tags: TAG_NAMES,
    timesMs: Float64Array.from(rows, ({ timeMs }) => timeMs),
    values: Float64Array.from(rows.flatMap(({ values }) => [...values])),
    labels: new Int8Array(rows.length).fill(-1),
  });
  await store.close();
}
