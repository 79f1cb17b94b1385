import type { TrainingEngine } from '@twinwatch/core/learning/engine';
import type { Clock, Logger, Timers } from '@twinwatch/core/runtime';
import { createWorkerEngine } from '@twinwatch/core/training/engine-host';
import type { MqttClientLike, MqttConnectOptions } from '@twinwatch/core/wire/mqtt-client';
import type { ProtocolRange } from '@twinwatch/core/wire/protocol';
import { Acquisition } from './acquisition.js';
import { brokerOf, sparkplugBrokerOf } from './broker-access.js';
import { AlarmOutputs } from './detection/alarm-outputs.js';
import { alarmWords, needsAttention } from './detection/alarm-words.js';
import { DetectionPipeline } from './detection/detection-pipeline.js';
import { AgentFederation } from './federation/agent-federation.js';
import { type AgentTrust, NO_KEYS } from './federation/agent-trust.js';
import type { SiteConfig } from './site-config.js';
import { SparkplugPublisher } from './sparkplug/publisher.js';
import { Store } from './store/store.js';

export interface AgentRuntime {
  readonly softwareVersion: string;
  /** Of the federation's messages; those of this release where absent. */
  readonly protocols?: ProtocolRange;
  readonly clock: Clock;
  readonly timers: Timers;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
  readonly connect: (options: MqttConnectOptions) => MqttClientLike;
  /** Keys to sign and to check with; unsigned where absent. */
  readonly trust?: AgentTrust;
  readonly rssBytes: () => number;
  /** Of the machine; told with the status. */
  readonly host?: string;
}

const MEGABYTE = 1024 * 1024;
const QUEUED_ROWS = 5_000;
const OUTBOX_EVENTS = 20_000;
const BLOB_BYTES = 64 * MEGABYTE;

export function openStore(
  site: SiteConfig,
  runtime: Pick<AgentRuntime, 'timers' | 'log'>,
  owner = `agent ${site.config.agent}`,
): Promise<Store> {
  const { maximumRows, maximumMegabytes, maximumAge } = site.config.retention;
  return Store.open(
    {
      directory: site.dataDir,
      maximumRows,
      maximumBytes: maximumMegabytes * MEGABYTE,
      ...(maximumAge === undefined ? {} : { maximumAgeMs: maximumAge }),
      maximumOutboxEvents: OUTBOX_EVENTS,
      maximumBlobBytes: BLOB_BYTES,
    },
    { ...runtime, maximumQueuedRows: QUEUED_ROWS, owner },
  );
}

export interface RunningAgent {
  /** Takes up other devices while it runs. What else differs waits for a restart, and is told. */
  reload(site: SiteConfig): Promise<void>;
  /** Rows that the disk has not taken. */
  unwrittenRows(): number;
}

const BD_SEQ = 'sparkplug-bdseq';
/** Of the agent's file: what a running agent takes up. */
const RELOADED = ['buses', 'sources'];

/**
 * Runs an agent until the signal aborts: acquires, detects, learns, and takes part in its federation. Needs no broker and no device to start.
 * @throws TwinwatchError STORE_FAILED where its data directory cannot be used, STORE_LOCKED where another agent uses it.
 */
export async function runAgent(
  site: SiteConfig,
  runtime: AgentRuntime,
  signal: AbortSignal,
  onReady: (agent: RunningAgent) => void,
): Promise<void> {
  const { config } = site;
  const { clock, log } = runtime;
  const store = await openStore(site, runtime);
  let tags: readonly string[] = site.tags.length > 0 ? site.tags : await store.call('lastTags');
  let deadbands = deadbandsOf(site);
  let federation: AgentFederation | null = null;
  const sparkplug = await sparkplugOf(site, runtime, store);
  const outputs = new AlarmOutputs({
    outputs: config.alarmOutputs,
    write: (device, request) => acquisition.write(device, request),
    timers: runtime.timers,
    log,
  });
  const pipeline: DetectionPipeline = new DetectionPipeline({
    agent: config.agent,
    tags,
    labelTag: config.training.labelTag ?? null,
    store,
    clock,
    log,
    devices: () => acquisition.devices,
    onAlarm: (event) => {
      const { alarmId, score, contributions, communication } = event;
      const facts = communication ?? { score, contributions };
      if (needsAttention(event)) log.warn({ alarmId, ...facts }, alarmWords(event));
      else log.info({ alarmId, ...facts }, alarmWords(event));
      federation?.alarmStored(event);
      sparkplug?.alarm(event);
      void outputs.onAlarm(event, signal);
    },
  });
  await pipeline.restore();
  outputs.resume(pipeline.activeAlarms);
  const acquisition = new Acquisition(site, runtime, pipeline, await store.call('lastRow'), (row, rowTags) =>
    sparkplug?.row(row, rowTags),
  );
  sparkplug?.devices(acquisition.devices);
  let engine: Promise<TrainingEngine> | null = null;
  const { training } = config;
  federation = new AgentFederation({
    ...runtime,
    federation: config.federation,
    agent: config.agent,
    broker: brokerOf(site),
    trust: runtime.trust ?? NO_KEYS,
    store,
    pipeline,
    siteTags: () => tags,
    intervalMs: config.interval,
    training: training.enabled
      ? {
          limits: {
            maximumRows: training.maximumRows,
            quarantineMs: training.quarantine,
            labelWeight: training.labelWeight,
          },
          engineName: training.engine,
          engine: () => (engine ??= createWorkerEngine({ kind: training.engine, log })),
        }
      : null,
    health: async () => acquisition.health(store, await store.stats()),
    telemetryEveryMs: config.telemetry?.everyMs ?? null,
    deadbands: () => deadbands,
    texts: () => acquisition.texts,
    statusEveryMs: config.statusEvery,
  });
  await federation.restore();
  const acquiring = acquisition.run(signal);
  log.info({ tags: tags.length, devices: acquisition.devices.length, dataDir: site.dataDir }, 'agent started');
  onReady({
    unwrittenRows: () => store.unwrittenRows,
    reload: async (changed) => {
      deadbands = deadbandsOf(changed);
      const fields = Object.keys(changed.config) as (keyof typeof changed.config)[];
      const later = fields.filter(
        (field) => !RELOADED.includes(field) && JSON.stringify(changed.config[field]) !== JSON.stringify(config[field]),
      );
      if (later.length > 0) log.warn({ fields: later }, 'these fields have changed, and wait for a restart');
      // As it was started: only its devices are others.
      const { buses, sources } = changed.config;
      await acquisition.reload({ ...changed, dataDir: site.dataDir, config: { ...config, buses, sources } });
      if (changed.tags.length > 0) tags = changed.tags;
      log.info(
        { tags: tags.length, devices: acquisition.devices.length },
        'devices were taken up from the changed files',
      );
      sparkplug?.devices(acquisition.devices);
      federation?.siteChanged();
    },
  });
  await Promise.all([acquiring, federation.run(signal), sparkplug?.run(signal)]);
  await pipeline.close();
  const started = engine as Promise<TrainingEngine> | null;
  if (started !== null) await (await started).close();
  await store.close();
}

async function sparkplugOf(site: SiteConfig, runtime: AgentRuntime, store: Store): Promise<SparkplugPublisher | null> {
  const { agent, sparkplug } = site.config;
  if (sparkplug === undefined) return null;
  const { group, node = agent, primaryHost = null, history, dataTypes } = sparkplug;
  const kept = await store.call('state', BD_SEQ);
  return new SparkplugPublisher({
    broker: sparkplugBrokerOf(site, sparkplug),
    ...{ group, node, primaryHost, runtime, history, typedData: dataTypes === 'always' },
    bdSeq: kept === null ? -1 : Number(Buffer.from(kept).toString()),
    keepBdSeq: (bdSeq) => store.write({ op: 'state', key: BD_SEQ, value: String(bdSeq) }),
  });
}

/** Of the tags that have one. */
function deadbandsOf({ buses }: SiteConfig): ReadonlyMap<string, number> {
  const tags = buses.flatMap(({ devices }) => devices.flatMap(({ template }) => template.tags));
  return new Map(tags.flatMap(({ name, deadband }) => (deadband === undefined ? [] : [[name, deadband] as const])));
}
