import { join } from 'node:path';
import { BuiltinEngine } from '@twinwatch/core/learning/builtin-engine';
import type { Clock, Logger } from '@twinwatch/core/runtime';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import { encodeEnvelope } from '@twinwatch/core/wire/envelope';
import type { BlobRef, Manifest } from '@twinwatch/core/wire/messages';
import type { AgentHealth, AgentStatus } from '@twinwatch/core/wire/status';
import type { Telemetry } from '@twinwatch/core/wire/telemetry';
import { topics } from '@twinwatch/core/wire/topics';
import { DetectionPipeline } from '@twinwatch/edge-agent/detection/detection-pipeline';
import { AgentFederation, type FederationOptions } from '@twinwatch/edge-agent/federation/agent-federation';
import { NO_KEYS } from '@twinwatch/edge-agent/federation/agent-trust';
import type { StoreStats } from '@twinwatch/edge-agent/store/agent-database';
import { Store } from '@twinwatch/edge-agent/store/store';
import type { Journal } from '@twinwatch/twin-server/aggregator/journal';
import { buildSchema } from '@twinwatch/twin-server/aggregator/lineage';
import { RoundWork } from '@twinwatch/twin-server/aggregator/round-work';
import type { Step } from '@twinwatch/twin-server/aggregator/rounds/step';
import { openJournal } from '@twinwatch/twin-server/aggregator/sqlite-journal';
import { syntheticConfig, syntheticTwin, TAGS } from '@twinwatch/twin-server/aggregator/testing/synthetic-plant';
import { splitEpisodes, twinFeatures } from '@twinwatch/twin-server/aggregator/twin-rows';
import { FederationService } from '@twinwatch/twin-server/federation-service';
import type { TwinRows } from '@twinwatch/twin-server/twin/twin-source';
import mqtt from 'mqtt';
import { systemClock, systemTimers } from '../processes/node-runtime.js';

/** What a federation is made of, without devices: the real server's side and real agents' side of it, over whatever broker is at a port. */

export const FEDERATION = 'test';

const door = (port: number) => ({
  url: `mqtt://127.0.0.1:${port}`,
  connect: (options: { readonly url: string }) => mqtt.connect(options.url, options as mqtt.IClientOptions),
});

export interface OpenServerOptions {
  readonly port: number;
  readonly directory: string;
  readonly clock?: Clock;
  readonly log: Logger;
  readonly onAlarm?: (event: AlarmEvent) => void;
  readonly onStep?: (step: Step) => void;
  /** As a file would give them. */
  readonly rounds?: object;
  readonly detector?: object;
  readonly twin?: TwinRows;
  readonly open?: (file: string) => Journal;
}

/** Where nothing else is said, a server that waits for two agents, so that it asks one for its calibration and nothing more. */
export function openServer(options: OpenServerOptions) {
  const { port, directory, clock = systemClock, log, onAlarm, onStep, open = openJournal } = options;
  const { detector, rounds } = syntheticConfig(options.rounds ?? { quorum: 2 }, options.detector);
  const { episodes, tags, intervalMs } = options.twin ?? syntheticTwin(1, 4);
  const schema = buildSchema(detector, { tags, intervalMs }, []);
  const split = splitEpisodes(episodes, { validationShare: 0.5, seed: 1 });
  const plan = { federation: FEDERATION, schema, detector, rounds, seed: 1 };
  const journal = open(join(directory, 'server.db'));
  const statuses = new Map<string, AgentStatus[]>();
  const telemetry: Telemetry[] = [];
  const alarms: AlarmEvent[] = [];
  const service = new FederationService({
    ...{ plan, journal, run: 'run', broker: door(port), softwareVersion: '1', random: Math.random, log },
    work: new RoundWork(plan, new BuiltinEngine(), twinFeatures(schema, split)),
    ...{ clock, timers: systemTimers },
    observer: {
      onStep: (step) => onStep?.(step),
      onStatus: (agent, status) => void statuses.set(agent, [...(statuses.get(agent) ?? []), status]),
      onTelemetry: (_agent, told) => void telemetry.push(told),
      onAlarm: (event) => {
        alarms.push(event);
        onAlarm?.(event);
      },
    },
    desk: { waiting: () => [], answered: () => false },
    onFatal: (error) => {
      throw error;
    },
  });
  service.start();
  return {
    ...{ service, journal, alarms, telemetry },
    statusOf: (agent: string) => statuses.get(agent)?.at(-1) ?? null,
    async close() {
      await service.stop();
      journal.close();
    },
  };
}

export type TestServer = ReturnType<typeof openServer>;

export interface OpenAgentOptions {
  readonly agent: string;
  readonly port: number;
  /** Of its store; another one for an agent that is the same in name only. */
  readonly directory: string;
  readonly log: Logger;
  readonly clock?: Clock;
  readonly rest?: Partial<FederationOptions>;
  readonly maximumOutboxEvents?: number;
  /** Number of the last alarm before. */
  readonly firstAlarm?: number;
  /** Never connects. */
  readonly isOffline?: boolean;
}

/** Tags of a mid-sized water network, for telemetry of a real size. */
export const AGENT_TAGS = Array.from({ length: 43 }, (_, index) => `TAG_${index + 1}`);

export async function openAgent(options: OpenAgentOptions) {
  const { agent, port, directory, log, clock = systemClock, rest = {} } = options;
  const maximumOutboxEvents = options.maximumOutboxEvents ?? 20_000;
  const store = await Store.open(
    { directory, maximumRows: 1_000, maximumBytes: 1e9, maximumOutboxEvents, maximumBlobBytes: 64e6 },
    { timers: systemTimers, log, maximumQueuedRows: 1_000, owner: agent },
  );
  const stop = new AbortController();
  let alarmNumber = options.firstAlarm ?? 0;
  let sequence = 0;
  const pipeline = new DetectionPipeline({
    ...{ agent, tags: AGENT_TAGS, labelTag: null, store, clock, log, devices: () => [] },
    onAlarm: (event) => federation.alarmStored(event),
  });
  await pipeline.restore();
  const federation: AgentFederation = new AgentFederation({
    ...{ federation: FEDERATION, agent, softwareVersion: '1', trust: NO_KEYS, store, pipeline, training: null },
    ...{ broker: { url: door(port).url }, connect: door(port).connect, siteTags: () => TAGS.map(({ name }) => name) },
    intervalMs: 900_000,
    health: async () => healthOf(await store.call('stats')),
    ...{ telemetryEveryMs: null, deadbands: () => new Map(), texts: () => ({}), statusEveryMs: 1_000 },
    ...{ clock, timers: systemTimers, random: Math.random, log },
    ...rest,
  });
  await federation.restore();
  const running = options.isOffline === true ? null : federation.run(stop.signal);
  return {
    ...{ federation, store },
    /** As the detection pipeline does it: written, then told. */
    raise(transition: AlarmEvent['transition'] = 'raised', of = ++alarmNumber): AlarmEvent {
      const event = alarmEvent(agent, of, transition, clock.now());
      store.write({ op: 'alarm', event, alarmState: JSON.stringify({ alarmNumber: of, transitionNumber: 1 }) });
      federation.alarmStored(event);
      return event;
    },
    /** A row of values, each somewhere else than before. */
    row(timeMs = clock.now()): Promise<void> {
      const values = Float64Array.from(AGENT_TAGS, () => Math.random() * 100);
      const row = { timeMs, sequence: ++sequence, values };
      const quality = AGENT_TAGS.map(() => 'good' as const);
      const reasons = AGENT_TAGS.map(() => null);
      return pipeline.row({ row, quality, reasons, receivedMs: clock.monotonic(), missing: [], gap: 0 }, true);
    },
    async close() {
      stop.abort();
      await running;
      await pipeline.close();
      await store.close();
    },
  };
}

export type TestAgent = Awaited<ReturnType<typeof openAgent>>;

function alarmEvent(agent: string, number: number, transition: AlarmEvent['transition'], atMs: number): AlarmEvent {
  const contributions = ['TAG_1', 'TAG_7', 'TAG_12'].map((tag, at) => ({
    tag,
    share: 0.3 / (at + 1),
    value: 3.25 * at,
  }));
  return {
    ...{ eventId: `${agent}:${number}:${transition === 'raised' ? 1 : 2}`, alarmId: `${agent}:${number}`, agent },
    ...{ transition, atMs, score: 0.93, threshold: 0.5, modelVersion: 'v3-r17-0123abcd', contributions, latencyMs: 12 },
  };
}

/** A model that agents are to fetch. They refuse it in the end where it is none, or not what is said of it. */
export async function announceModel(port: number, blob: BlobRef, of: Partial<Manifest> = {}): Promise<void> {
  const message: Manifest = {
    ...{ kind: 'manifest', modelVersion: 'v1', round: 1, model: blob, lineage: blob, threshold: 0.5, releasedAtMs: 1 },
    ...of,
  };
  const envelope = encodeEnvelope({ federation: FEDERATION, sender: 'server', sequence: 1, sentAtMs: 1, message });
  const client = await mqtt.connectAsync(door(port).url);
  await client.publishAsync(topics(FEDERATION).manifest, Buffer.from(envelope), { qos: 1, retain: true });
  await client.endAsync();
}

function healthOf({ rows, outboxEvents, evictedEvents }: StoreStats): AgentHealth {
  return {
    ...{
      rowsAcquired: rows,
      rowsMissing: 0,
      badSamples: 0,
      duplicateReadings: 0,
      lateReadings: 0,
      droppedTelemetry: 0,
    },
    ...{ outboxEvents, droppedEvents: evictedEvents, rssBytes: 0, deviceFaults: {} },
    ...{ sensorToAlarmMsP50: null, sensorToAlarmMsP99: null, sensorToAlarmCount: 0 },
  };
}
