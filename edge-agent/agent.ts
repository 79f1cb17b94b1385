import { templateTags } from '@twinwatch/core/config/device-template';
import type { TrainingEngine } from '@twinwatch/core/learning/engine';
import type { Clock, Logger, Timers } from '@twinwatch/core/runtime';
import { type AssembledRow, RowAssembler } from '@twinwatch/core/scada/row-assembler';
import { isClockSet } from '@twinwatch/core/scada/sample';
import { createWorkerEngine } from '@twinwatch/core/training/engine-host';
import type { AgentHealth } from '@twinwatch/core/wire/messages';
import type { MqttClientLike, MqttConnectOptions } from '@twinwatch/core/wire/mqtt-client';
import { DetectionPipeline } from './detection/detection-pipeline.js';
import { AgentFederation } from './federation/agent-federation.js';
import type { SiteConfig } from './site-config.js';
import { ModbusSource, stillAfterMs } from './sources/modbus/modbus-source.js';
import { openSource } from './sources/open-sources.js';
import type { Source } from './sources/source.js';
import type { StoreStats } from './store/agent-database.js';
import { Store } from './store/store.js';

export interface AgentRuntime {
  readonly softwareVersion: string;
  readonly clock: Clock;
  readonly timers: Timers;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
  readonly connect: (options: MqttConnectOptions) => MqttClientLike;
  readonly rssBytes: () => number;
}

const MEGABYTE = 1024 * 1024;
const QUEUED_ROWS = 5_000;
const OUTBOX_EVENTS = 20_000;
const BLOB_BYTES = 64 * MEGABYTE;
const LONGEST_TICK_MS = 1_000;

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

/**
 * Runs an agent until the signal aborts: acquires, detects, learns, and takes part in its federation. Needs no broker and no device to start.
 * @throws TwinwatchError STORE_FAILED where its data directory cannot be used, STORE_LOCKED where another agent uses it.
 */
export async function runAgent(
  site: SiteConfig,
  runtime: AgentRuntime,
  signal: AbortSignal,
  onReady: () => void,
): Promise<void> {
  const { config } = site;
  const { clock, log } = runtime;
  const store = await openStore(site, runtime);
  const tags = site.tags.length > 0 ? site.tags : await store.call('lastTags');
  let federation: AgentFederation | null = null;
  const pipeline = new DetectionPipeline({
    agent: config.agent,
    tags,
    labelTag: config.training.labelTag ?? null,
    store,
    clock,
    log,
    onAlarm: (event) => {
      const { alarmId, score, contributions, communication, transition } = event;
      if (communication === undefined) log.info({ alarmId, score, contributions }, `alarm ${transition}`);
      else log.warn({ alarmId, ...communication }, `communication alarm ${transition}`);
      federation?.alarmStored();
    },
  });
  await pipeline.restore();
  const acquisition = new Acquisition(site, runtime, pipeline, await store.call('lastRow'));
  let engine: Promise<TrainingEngine> | null = null;
  const { training } = config;
  federation = new AgentFederation({
    ...runtime,
    federation: config.federation,
    agent: config.agent,
    broker: brokerOf(site),
    store,
    pipeline,
    siteTags: () => tags,
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
    health: async () => acquisition.health(store, await store.call('stats')),
    telemetryEveryMs: config.telemetry?.everyMs ?? null,
    statusEveryMs: config.statusEvery,
  });
  await federation.restore();
  const acquiring = acquisition.run(signal);
  log.info({ tags: tags.length, devices: acquisition.devices, dataDir: site.dataDir }, 'agent started');
  onReady();
  await Promise.all([acquiring, federation.run(signal)]);
  await pipeline.close();
  const started = engine as Promise<TrainingEngine> | null;
  if (started !== null) await (await started).close();
  await store.close();
}

export function brokerOf(site: SiteConfig): { url: string; username?: string; password?: string; ca?: string } {
  const { url, username, password } = site.config.broker;
  return {
    url,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(site.brokerCa === null ? {} : { ca: site.brokerCa }),
  };
}

/** From sources to rows to the pipeline. Waits for nobody behind it. */
class Acquisition {
  readonly devices: number;
  readonly #runtime: AgentRuntime;
  readonly #pipeline: DetectionPipeline;
  readonly #sources: readonly Source[];
  readonly #assembler: RowAssembler;
  readonly #faults = new Map<string, string>();
  /** Devices that the assembler has named. */
  #astray: ReadonlySet<string> = new Set();
  readonly #clocked: boolean;
  readonly #tickMs: number;
  readonly #intervalMs: number;
  readonly #lateAfterMs: number;
  /** Monotonic ms of the newest row; of the start before the first. */
  #lastRowMs: number;
  /** Whether it has been told that no row comes. */
  #isSilent = false;

  constructor(
    site: SiteConfig,
    runtime: AgentRuntime,
    pipeline: DetectionPipeline,
    last: { readonly timeMs: number; readonly sequence: number | null } | null,
  ) {
    const { interval, poll } = site.config;
    const devices = site.buses.flatMap((bus) => bus.devices);
    const { sources } = site.config;
    this.devices = devices.length + sources.length;
    this.#runtime = runtime;
    this.#pipeline = pipeline;
    this.#intervalMs = interval;
    this.#lateAfterMs = poll.lateAfter;
    this.#lastRowMs = runtime.clock.monotonic();
    this.#clocked = devices.some(({ template }) => template.clock !== undefined);
    this.#tickMs = Math.max(20, Math.min(LONGEST_TICK_MS, interval / 4, poll.lateAfter / 4));
    const stillMs = stillAfterMs(interval, poll.lateAfter);
    const place = { agent: site.config.agent, broker: brokerOf(site), configPath: site.configPath };
    this.#sources = [
      ...site.buses.map((bus) => new ModbusSource(bus.config, bus.devices, poll.every, stillMs, runtime)),
      ...sources.map((source) => openSource(source, place, runtime)),
    ];
    const polled = devices.map(({ name, template }) => ({
      name,
      tags: templateTags(template).map((tag) => tag.name),
      clocked: template.clock !== undefined,
    }));
    const others = sources.map(({ name, tags }) => ({ name, tags: tags.map((tag) => tag.name), clocked: false }));
    this.#assembler = new RowAssembler({
      devices: [...polled, ...others],
      intervalMs: interval,
      lateAfterMs: poll.lateAfter,
      align: poll.align,
      last,
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, timers } = this.#runtime;
    const sink = {
      reading: (reading: Parameters<RowAssembler['reading']>[0]) =>
        this.#pass(this.#assembler.reading(reading, clock.monotonic())),
      fault: (device: string, fault: string | null) => {
        if (fault === null) this.#faults.delete(device);
        else {
          this.#faults.set(device, fault);
          this.#pass(this.#assembler.fault(device, clock.monotonic(), fault));
        }
      },
    };
    const acquiring = this.#sources.map((source) => source.start(signal, sink));
    while (this.#sources.length > 0 && !signal.aborted) {
      this.#pass(this.#assembler.tick(clock.monotonic(), clock.now()));
      this.#tellAstray();
      this.#tellSilence();
      await timers.sleep('assembler-tick', this.#tickMs, signal).catch(() => undefined);
    }
    await Promise.all(acquiring);
  }

  health(store: Store, { outboxEvents, evictedRows, isDiskTight }: StoreStats): AgentHealth {
    const { counts } = this.#assembler;
    const { latency } = this.#pipeline;
    const faults = Object.fromEntries([...this.#assembler.faults, ...this.#faults]);
    if (store.refused !== null)
      faults.disk = `does not take what is written (${store.refused}); alarms and the newest rows are kept in memory`;
    else if (isDiskTight) faults.disk = `is full, or nearly so; ${evictedRows} old rows were given up since the start`;
    if (!this.#timeKnown())
      faults['system clock'] = 'is not set and no device serves a time; rows are not learned from';
    return {
      rowsAcquired: counts.rows,
      rowsMissing: counts.missingRows,
      badSamples: counts.badSamples,
      duplicateReadings: counts.duplicates,
      lateReadings: counts.late,
      droppedTelemetry: store.droppedRows,
      outboxEvents,
      rssBytes: this.#runtime.rssBytes(),
      sensorToAlarmMsP50: latency.percentile(0.5),
      sensorToAlarmMsP99: latency.percentile(0.99),
      sensorToAlarmCount: latency.count,
      deviceFaults: faults,
    };
  }

  /** Once for each device whose counter or clock is not where the rows are, and once when it is over. */
  #tellAstray(): void {
    const { log } = this.#runtime;
    const { faults } = this.#assembler;
    for (const [device, fault] of faults) if (!this.#astray.has(device)) log.warn({ device }, fault);
    for (const device of this.#astray)
      if (!faults.has(device)) log.info({ device }, 'counter and clock are in step again');
    this.#astray = new Set(faults.keys());
  }

  /** Where devices have faults and no row comes any more, there is none that could raise the alarm. */
  #tellSilence(): void {
    const { clock } = this.#runtime;
    if (this.#isSilent || this.#faults.size === 0) return;
    if (clock.monotonic() - this.#lastRowMs <= this.#silentAfterMs()) return;
    this.#isSilent = true;
    const reason = [...this.#faults].map(([device, fault]) => `${device}: ${fault}`).join('; ');
    void this.#pipeline.silence(clock.now(), reason).catch(() => undefined);
  }

  /** Rows are held for a number of intervals; those of devices with a clock come at a pace of their own. */
  #silentAfterMs(): number {
    const rows = this.#pipeline.holdRows + 1;
    return this.#clocked ? rows * this.#lateAfterMs : rows * this.#intervalMs + this.#lateAfterMs;
  }

  #timeKnown(): boolean {
    return this.#clocked || isClockSet(this.#runtime.clock.now());
  }

  #pass(rows: readonly AssembledRow[]): void {
    if (rows.length > 0) {
      this.#lastRowMs = this.#runtime.clock.monotonic();
      this.#isSilent = false;
    }
    for (const row of rows) {
      if (row.gap > 0) this.#runtime.log.warn({ rows: row.gap, atMs: row.row.timeMs }, 'rows are missing');
      void this.#pipeline.row(row, this.#timeKnown()).catch(() => undefined);
    }
  }
}
