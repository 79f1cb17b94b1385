import { createHash, randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ServerConfig } from '@twinwatch/core/config/server';
import { TwinwatchError } from '@twinwatch/core/errors';
import { expandFeatures } from '@twinwatch/core/features/patterns';
import { schemaHash } from '@twinwatch/core/features/schema';
import type { FeatureSchema } from '@twinwatch/core/features/spec';
import type { Architecture, TrainingEngine } from '@twinwatch/core/learning/engine';
import type { Clock, Logger, Timers } from '@twinwatch/core/runtime';
import { decodeLineage } from '@twinwatch/core/wire/blobs';
import type { BrokerDoor } from '@twinwatch/core/wire/link-options';
import type { Journal } from './aggregator/journal.js';
import { architectureOf, buildSchema } from './aggregator/lineage.js';
import { type FederationPlan, RoundWork } from './aggregator/round-work.js';
import { type PreparedTwin, readTwinCache, writeTwinCache } from './aggregator/twin-cache.js';
import { splitEpisodes, twinFeatures } from './aggregator/twin-rows.js';
import { ChangeFeed } from './api/change-feed.js';
import { createApi, listen } from './api/http.js';
import { LiveView } from './api/live-view.js';
import { TelemetryHistory } from './api/telemetry-history.js';
import { serverState } from './api/views.js';
import { endsOfPem } from './certificate-ends.js';
import { DecisionDesk } from './decisions/decision-desk.js';
import { FederationService } from './federation-service.js';
import { NO_KEYS, type ServerTrust } from './server-trust.js';
import type { TwinSource } from './twin/twin-source.js';

export interface ServerOptions {
  readonly config: ServerConfig;
  readonly dataDir: string;
  readonly dashboardDir: string;
  readonly twin: TwinSource;
  /** Hash of the files that the twin is made from: another plant is another run. */
  readonly twinHash: string;
  readonly createEngine: () => Promise<TrainingEngine>;
  /** @throws TwinwatchError JOURNAL_UNREADABLE */
  readonly openJournal: (file: string) => Journal;
  /** PEM of `http.tls`; plain HTTP without. */
  readonly httpCertificate?: { readonly cert: string; readonly key: string } | null;
  readonly broker: BrokerDoor;
  /** Unsigned where absent. */
  readonly trust?: ServerTrust;
  readonly softwareVersion: string;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: () => number;
  readonly log: Logger;
}

export interface RunningServer {
  readonly httpPort: number;
  /** Rejects with what makes it useless to go on: no twin, no engine, a journal that cannot be written. Never resolves. */
  readonly failed: Promise<never>;
  stop(): Promise<void>;
}

/** @throws TwinwatchError JOURNAL_UNREADABLE, API_PORT_BUSY, FEATURES_UNKNOWN_TAG. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { config, twin, log } = options;
  const architecture = architectureOf(config.detector, {
    features: expandFeatures(config.detector.features, twin.tags, twin.rules),
  });
  await mkdir(options.dataDir, { recursive: true });
  const journal = options.openJournal(join(options.dataDir, 'server.db'));
  const run = runKey(options, architecture);
  const changes = new ChangeFeed();
  const history = new TelemetryHistory();
  const { trust = NO_KEYS, httpCertificate = null } = options;
  const ofPage = httpCertificate === null ? [] : endsOfPem('page', httpCertificate.cert).slice(0, 1);
  const live = new LiveView({
    federation: config.federation,
    rounds: config.rounds,
    tags: twin.tags,
    journal,
    run,
    changes,
    history,
    certificates: () => [...trust.certificates(), ...ofPage],
  });
  const stopping = new AbortController();
  let service: FederationService | null = null;
  let engine: TrainingEngine | null = null;
  const desk = new DecisionDesk({
    journal,
    now: () => options.clock.now(),
    newId: randomUUID,
    isAgent: (id) => live.isAgent(id),
    send: (agent, command) => service?.sendCommand(agent, command),
    onDecision: (decision) => live.onDecision(decision),
  });
  let fail: (error: unknown) => void = () => undefined;
  const failed = new Promise<never>((_resolve, reject) => {
    fail = reject;
  });
  failed.catch(() => undefined);
  try {
    const app = await createApi({
      state: () => serverState(live.snapshot()),
      changes,
      history,
      model: (version) => {
        const hash = journal.modelHash(version);
        return hash === null ? null : journal.blob(hash);
      },
      dashboardDir: options.dashboardDir,
      timers: options.timers,
      desk,
      liftQuarantine(agent, by) {
        if (service === null)
          throw new TwinwatchError(
            'API_UNKNOWN_AGENT',
            'the twin is being prepared, and no agent is known yet; ask again later',
          );
        service.runner.liftQuarantine(agent, by);
        return live.agent(agent);
      },
      models: {
        view: () => registryOf(service).view(),
        release: (version, by) => registryOf(service).release(version, by),
        rollback: (version, by, reason) => registryOf(service).rollback(version, by, reason),
      },
      ...{ http: config.http, certificate: httpCertificate, clock: options.clock },
    });
    const httpPort = await listen(app, config.http.host, config.http.port);

    const learn = async (): Promise<void> => {
      const { schema, features } = await prepareTwin(options, journal, run, stopping.signal, (share) =>
        live.onTwinProgress(share),
      );
      engine = await options.createEngine();
      stopping.signal.throwIfAborted();
      const plan: FederationPlan = {
        federation: config.federation,
        schema,
        detector: config.detector,
        rounds: config.rounds,
        seed: config.twin.seed,
      };
      const work = new RoundWork(plan, engine, features);
      service = new FederationService({
        ...options,
        registry: config.registry,
        plan,
        work,
        journal,
        run,
        observer: live,
        desk,
        onFatal: fail,
      });
      live.onReady(service.runner.state, service.refused, service.registry.view());
      service.start();
      log.info({ run, inputs: work.architecture.inputs, parameters: work.parameterCount }, 'ready for agents');
    };
    const learning = learn().catch(fail);
    return {
      httpPort,
      failed,
      async stop() {
        stopping.abort();
        await learning;
        await service?.stop();
        await app.close();
        await engine?.close();
        journal.close();
      },
    };
  } catch (error) {
    journal.close();
    throw error;
  }
}

/** @throws TwinwatchError API_UNKNOWN_MODEL while there is no model yet. */
function registryOf(service: FederationService | null): FederationService['registry'] {
  if (service !== null) return service.registry;
  throw new TwinwatchError(
    'API_UNKNOWN_MODEL',
    'the twin is being prepared, and no model is known yet; ask again later',
  );
}

/** Everything that parameters must have in common to be averaged; methods and numbers of rounds may change within a run. */
function runKey({ config, twin, twinHash }: ServerOptions, architecture: Architecture): string {
  const { detector, rounds } = config;
  const identity = {
    ...{ tags: twin.tags, intervalMs: twin.intervalMs, features: detector.features, holdRows: detector.holdRows },
    ...{ twinHash, twin: config.twin, clip: detector.clip, twinScaling: detector.twinScaling, architecture },
    exchange: { rows: rounds.exchangeRows, mixed: rounds.exchangeShare > 0 },
  };
  return createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 16);
}

/**
 * What residual features expect is fitted once per run. A run whose lineage is frozen goes on with the lineage's schema, even where the cache
 * is gone and another machine or release would fit other digits.
 */
async function prepareTwin(
  { config, dataDir, twin, log }: ServerOptions,
  journal: Journal,
  run: string,
  signal: AbortSignal,
  onProgress: (share: number) => void,
): Promise<PreparedTwin> {
  const file = join(dataDir, 'twin-features.cbor');
  const frozen = frozenSchema(journal, run);
  const cached = await readTwinCache(file, run);
  if (cached !== null && (frozen === null || schemaHash(frozen) === schemaHash(cached.schema))) {
    log.info({ rows: cached.features.training.labels.length }, 'twin rows are those of the last start');
    return cached;
  }
  const { seed, episodes, days, attackShare, validationShare } = config.twin;
  const request = { seed, episodes, hoursPerEpisode: days * 24, attackShare };
  const rows = await twin.generate(request, ({ episodesDone }) => onProgress(episodesDone / episodes), signal);
  const split = splitEpisodes(rows.episodes, { validationShare, seed });
  const schema = frozen ?? buildSchema(config.detector, twin, split.training);
  const features = twinFeatures(schema, split);
  for (const [warning, times] of rows.warnings) log.warn({ times }, `twin: ${warning}`);
  log.info({ rows: features.training.labels.length, validation: features.validation.labels.length }, 'twin simulated');
  await writeTwinCache(file, run, { schema, features });
  return { schema, features };
}

function frozenSchema(journal: Journal, run: string): FeatureSchema | null {
  const hash = journal.loadState(run)?.lineageHash ?? null;
  const bytes = hash === null ? null : journal.blob(hash);
  return bytes === null ? null : decodeLineage(bytes).schema;
}
