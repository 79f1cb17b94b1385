import { templateTags } from '@twinwatch/core/config/device-template';
import { TwinwatchError } from '@twinwatch/core/errors';
import { type AssembledDevice, type AssembledRow, RowAssembler } from '@twinwatch/core/scada/row-assembler';
import { isClockSet } from '@twinwatch/core/scada/sample';
import type { AgentHealth } from '@twinwatch/core/wire/status';
import type { Telemetry } from '@twinwatch/core/wire/telemetry';
import type { AgentRuntime } from './agent.js';
import { sourceBrokerOf } from './broker-access.js';
import type { DetectionPipeline } from './detection/detection-pipeline.js';
import type { SiteConfig } from './site-config.js';
import { identityOf, ModbusSource, stillAfterMs } from './sources/modbus/modbus-source.js';
import type { WriteRequest } from './sources/modbus/requests.js';
import { openSource } from './sources/open-sources.js';
import type { Source, SourceSink } from './sources/source.js';
import type { StoreStats } from './store/agent-database.js';
import type { Store } from './store/store.js';
import { TextTags } from './text-tags.js';

const LONGEST_TICK_MS = 1_000;

interface LastRow {
  readonly timeMs: number;
  readonly sequence: number | null;
}

/** A source as configured: what its port was opened with tells whether another one is the same. */
interface PlannedSource {
  readonly identity: string;
  readonly open: () => Source;
  /** Devices of a bus that stays open may be others. */
  readonly change?: (source: Source) => void;
}

interface RunningSource {
  readonly source: Source;
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

/** From sources to rows to the pipeline. Waits for nobody behind it. */
export class Acquisition {
  readonly #runtime: AgentRuntime;
  readonly #pipeline: DetectionPipeline;
  readonly #running = new Map<string, RunningSource>();
  readonly #faults = new Map<string, string>();
  readonly #texts = new TextTags();
  /** Devices that the assembler has named. */
  #astray: ReadonlySet<string> = new Set();
  readonly #told: (row: AssembledRow, tags: readonly string[]) => void;
  #site: SiteConfig;
  #assembler: RowAssembler;
  #clocked: boolean;
  #signal: AbortSignal | null = null;
  /** Monotonic ms of the newest row; of the start before the first. */
  #lastRowMs: number;
  /** Whether it has been told that no row comes. */
  #isSilent = false;
  #reloading: Promise<void> = Promise.resolve();

  /** @param told is called with every row and its tags. */
  constructor(
    site: SiteConfig,
    runtime: AgentRuntime,
    pipeline: DetectionPipeline,
    last: LastRow | null,
    told: (row: AssembledRow, tags: readonly string[]) => void,
  ) {
    this.#told = told;
    this.#site = site;
    this.#runtime = runtime;
    this.#pipeline = pipeline;
    this.#lastRowMs = runtime.clock.monotonic();
    this.#assembler = assemblerOf(site, last);
    this.#clocked = isClocked(site);
    this.#texts.site(site, new Set());
  }

  /** Of tags that hold letters: what they said last. */
  get texts(): Telemetry['values'] {
    return this.#texts.values;
  }

  /** In the order of their tags in rows. */
  get devices(): readonly { readonly name: string; readonly tags: readonly string[] }[] {
    return assembledDevices(this.#site);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, timers } = this.#runtime;
    this.#signal = signal;
    this.#startNew();
    while (!signal.aborted) {
      this.#pass(this.#assembler.tick(clock.monotonic(), clock.now()));
      this.#tellAstray();
      this.#tellSilence();
      const { interval, poll } = this.#site.config;
      const tickMs = Math.max(20, Math.min(LONGEST_TICK_MS, interval / 4, poll.lateAfter / 4));
      await timers.sleep('assembler-tick', tickMs, signal).catch(() => undefined);
    }
    await this.#reloading;
    await Promise.all([...this.#running.values()].map(({ ended }) => ended));
  }

  /**
   * Other devices, between two rows. A device that is as it was goes on without noticing, also where others of its bus have changed: what it
   * has read and no row holds yet is taken along. Ports that are gone or opened in another way end first, since a port has one owner.
   */
  reload(site: SiteConfig): Promise<void> {
    this.#reloading = this.#reloading.then(async () => {
      const planned = plannedSources(site, this.#runtime);
      const wanted = new Set(planned.map(({ identity }) => identity));
      const leaving = [...this.#running].filter(([identity]) => !wanted.has(identity));
      for (const [, { stop }] of leaving) stop.abort(new Error('the configuration changed'));
      await Promise.all(leaving.map(([, { ended }]) => ended));
      for (const [identity] of leaving) this.#running.delete(identity);
      this.#takeUp(site);
      for (const { identity, change } of planned) {
        const running = this.#running.get(identity);
        if (running !== undefined) change?.(running.source);
      }
      this.#startNew();
    });
    return this.#reloading;
  }

  /**
   * Writes to a device on one of the buses; resolves once it has confirmed.
   * @throws TwinwatchError MODBUS_*; MODBUS_DISCONNECTED where no such device is being read.
   */
  async write(device: string, request: WriteRequest): Promise<void> {
    for (const { source } of this.#running.values())
      if (source instanceof ModbusSource && source.devices.includes(device)) return source.write(device, request);
    throw new TwinwatchError('MODBUS_DISCONNECTED', `${device} cannot be written to: it is not being read`);
  }

  health(store: Store, { outboxEvents, evictedEvents, evictedRows, isDiskTight }: StoreStats): AgentHealth {
    const { counts } = this.#assembler;
    const { latency } = this.#pipeline;
    const faults = Object.fromEntries([...this.#assembler.faults, ...this.#faults]);
    const disk = diskFault(store, isDiskTight, evictedRows);
    if (disk !== null) faults.disk = disk;
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
      droppedEvents: evictedEvents,
      rssBytes: this.#runtime.rssBytes(),
      sensorToAlarmMsP50: latency.percentile(0.5),
      sensorToAlarmMsP99: latency.percentile(0.99),
      sensorToAlarmCount: latency.count,
      deviceFaults: faults,
    };
  }

  /** From here on rows have the new site's tags. */
  #takeUp(site: SiteConfig): void {
    const before = this.#assembler;
    const known = new Set(deviceIdentities(this.#site).values());
    // What was read or said of a device that is another one now would be told of the wrong registers.
    const kept = new Set(
      [...deviceIdentities(site)].flatMap(([name, identity]) => (known.has(identity) ? [name] : [])),
    );
    this.#site = site;
    this.#clocked = isClocked(site);
    this.#texts.site(site, kept);
    this.#assembler = assemblerOf(site, before.lastRow);
    Object.assign(this.#assembler.counts, before.counts);
    void this.#pipeline.retag(this.#assembler.tags).catch(() => undefined);
    for (const device of this.#faults.keys()) if (!kept.has(device)) this.#faults.delete(device);
    for (const { reading, nowMs } of before.unfinished)
      if (kept.has(reading.device)) this.#pass(this.#assembler.reading(reading, nowMs));
    for (const [device, fault] of this.#faults)
      this.#pass(this.#assembler.fault(device, this.#runtime.clock.monotonic(), fault));
  }

  #startNew(): void {
    const signal = this.#signal;
    if (signal === null || signal.aborted) return;
    for (const { identity, open } of plannedSources(this.#site, this.#runtime)) {
      if (this.#running.has(identity)) continue;
      const stop = new AbortController();
      const source = open();
      // What was wrong with them was told by the port that is gone.
      for (const device of source.devices) this.#faults.delete(device);
      const forward = () => stop.abort(signal.reason);
      signal.addEventListener('abort', forward, { once: true });
      const ended = source.start(stop.signal, this.#sinkOf(stop.signal)).finally(() => {
        signal.removeEventListener('abort', forward);
      });
      this.#running.set(identity, { source, stop, ended });
    }
  }

  /** What a source says that was told to stop is of a device that may be another's by now. */
  #sinkOf(signal: AbortSignal): SourceSink {
    const { clock } = this.#runtime;
    return {
      reading: (reading) => {
        if (signal.aborted) return;
        this.#texts.reading(reading);
        this.#pass(this.#assembler.reading(reading, clock.monotonic()));
      },
      fault: (device, fault) => {
        if (signal.aborted) return;
        if (fault === null) this.#faults.delete(device);
        else {
          this.#faults.set(device, fault);
          this.#texts.fault(device);
          this.#pass(this.#assembler.fault(device, clock.monotonic(), fault));
        }
      },
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
    const silentMs = clock.monotonic() - this.#lastRowMs;
    if (silentMs <= this.#silentAfterMs()) return;
    this.#isSilent = true;
    const reason = [...this.#faults].map(([device, fault]) => `${device}: ${fault}`).join('; ');
    const nowMs = clock.now();
    void this.#pipeline.silence(nowMs, nowMs - silentMs, reason).catch(() => undefined);
  }

  /** Rows are held for a number of intervals; those of devices with a clock come at a pace of their own. */
  #silentAfterMs(): number {
    const { interval, poll } = this.#site.config;
    const rows = this.#pipeline.holdRows + 1;
    return this.#clocked ? rows * poll.lateAfter : rows * interval + poll.lateAfter;
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
      this.#told(row, this.#assembler.tags);
      void this.#pipeline.row(row, this.#timeKnown()).catch(() => undefined);
    }
  }
}

function diskFault({ refused, slow, droppedEvents }: Store, isTight: boolean, evictedRows: number): string | null {
  const lost = droppedEvents === 0 ? '' : `; ${droppedEvents} alarm events did not fit`;
  const kept = `alarms and the newest rows are kept in memory${lost}`;
  if (refused !== null) return `does not take what is written (${refused}); ${kept}`;
  if (slow) return `does not answer; ${kept}`;
  return isTight ? `is full, or nearly so; ${evictedRows} old rows were given up since the start` : null;
}

function isClocked({ buses }: SiteConfig): boolean {
  return buses.some(({ devices }) => devices.some(({ template }) => template.clock !== undefined));
}

/** Name of a device → what it is and how it is read. */
function deviceIdentities({ buses, config }: SiteConfig): Map<string, string> {
  return new Map([
    ...buses.flatMap(({ config: { url }, devices }) =>
      devices.map((device) => [device.name, JSON.stringify([url, identityOf(device)])] as const),
    ),
    ...config.sources.map((source) => [source.name, JSON.stringify(source)] as const),
  ]);
}

function assembledDevices({ buses, config }: SiteConfig): AssembledDevice[] {
  const polled = buses.flatMap(({ devices }) =>
    devices.map(({ name, template }) => ({
      name,
      tags: templateTags(template).map((tag) => tag.name),
      clocked: template.clock !== undefined,
    })),
  );
  const others = config.sources.map(({ name, tags }) => ({ name, tags: tags.map((tag) => tag.name), clocked: false }));
  return [...polled, ...others];
}

function assemblerOf(site: SiteConfig, last: LastRow | null): RowAssembler {
  const { config } = site;
  return new RowAssembler({
    devices: assembledDevices(site),
    intervalMs: config.interval,
    lateAfterMs: config.poll.lateAfter,
    align: config.poll.align,
    last,
  });
}

function plannedSources(site: SiteConfig, runtime: AgentRuntime): PlannedSource[] {
  const { interval, poll, agent, sources } = site.config;
  const stillMs = stillAfterMs(interval, poll.lateAfter);
  return [
    ...site.buses.map(({ config, devices }) => ({
      identity: JSON.stringify([{ ...config, devices: [] }, poll.every, stillMs]),
      open: () => new ModbusSource(config, devices, poll.every, stillMs, runtime),
      change: (source: Source) => {
        if (source instanceof ModbusSource) source.change(devices);
      },
    })),
    ...sources.map((source) => {
      const place = { agent, broker: sourceBrokerOf(site, source), configPath: site.configPath };
      return { identity: JSON.stringify([source, place]), open: () => openSource(source, place, runtime) };
    }),
  ];
}
