import type { BusConfig } from '@twinwatch/core/config/agent';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { Source, SourceSink } from '../source.js';
import { answered, type Breaker, backoffMs, CLOSED_BREAKER, failed, mayAsk, probeNow } from './breaker.js';
import type { ModbusBus } from './bus.js';
import { DeviceReader, type ModbusDevice } from './device-reader.js';
import { type ModbusRuntime, openBus } from './open-bus.js';
import type { WriteRequest } from './requests.js';

/** Between questions to a device that is still at the scan read last: grows from the first to the last, ms. */
const UNCHANGED_FIRST_MS = 2;
const UNCHANGED_LAST_MS = 250;
/** Nothing new for this many intervals, and at least this long, is a device that no longer scans: plants may hold a row while they are busy. */
const STILL_INTERVALS = 5;
const STILL_MS = 60_000;
/** A device that has given nothing for this long, and this many timeouts, has a fault, whatever the reason. */
const TROUBLED_MS = 2_000;
const TROUBLED_TIMEOUTS = 20;
/** When every device of a bus is left alone: how often to look whether one may be asked again, ms. */
const IDLE_MS = 50;

interface Polled {
  readonly reader: DeviceReader;
  breaker: Breaker;
  fault: string | null;
  /** Whether the fault is that it answers and does not scan. */
  isStill: boolean;
  /** Monotonic ms of its newest scan, or of when it began to answer. */
  movedMs: number;
  /** Monotonic ms since which it has not given what it was asked for; null while it does. */
  troubledMs: number | null;
  /** Monotonic ms of the next question. */
  dueMs: number;
  unchanged: number;
}

/** Polls the devices of one bus, one after the other, each when it is due. */
export class ModbusSource implements Source {
  readonly name: string;
  readonly #config: BusConfig;
  #devices: readonly ModbusDevice[];
  readonly #everyMs: number;
  readonly #stillAfterMs: number;
  readonly #runtime: ModbusRuntime;
  #bus: ModbusBus | null = null;
  #polled: readonly Polled[] = [];

  /**
   * @param everyMs wall-clock time between two polls of a device; 0 for as fast as it answers.
   * @param stillAfterMs a clocked device that has answered for so long without a new scan has a fault; see stillAfterMs.
   */
  constructor(
    config: BusConfig,
    devices: readonly ModbusDevice[],
    everyMs: number,
    stillAfterMs: number,
    runtime: ModbusRuntime,
  ) {
    this.name = config.url;
    this.#config = config;
    this.#devices = devices;
    this.#everyMs = everyMs;
    this.#stillAfterMs = stillAfterMs;
    this.#runtime = runtime;
  }

  get devices(): readonly string[] {
    return this.#devices.map(({ name }) => name);
  }

  /**
   * Other devices on the same line, from now on. Those that are as they were go on as if nothing had happened; what one that is gone or changed still
   * answers is not told.
   */
  change(devices: readonly ModbusDevice[]): void {
    this.#devices = devices;
    const bus = this.#bus;
    if (bus === null) return;
    const before = new Map(this.#polled.map((polled) => [identityOf(polled.reader.device), polled]));
    this.#polled = devices.map((device) => before.get(identityOf(device)) ?? this.#unpolled(device, bus));
  }

  async start(signal: AbortSignal, sink: SourceSink): Promise<void> {
    const { clock, timers } = this.#runtime;
    const bus = openBus(this.#config, this.#runtime);
    this.#bus = bus;
    const stop = () => void bus.close();
    signal.addEventListener('abort', stop, { once: true });
    this.#polled = this.#devices.map((device) => this.#unpolled(device, bus));
    while (!signal.aborted) {
      let answers = 0;
      for (const device of this.#polled) {
        if (signal.aborted) break;
        const nowMs = clock.monotonic();
        if (!this.#polled.includes(device) || nowMs < device.dueMs || !mayAsk(device.breaker, nowMs)) continue;
        await this.#poll(device, sink, signal);
        if (device.troubledMs === null) answers++;
      }
      const nowMs = clock.monotonic();
      const nextMs = Math.min(...this.#polled.map(({ dueMs, breaker }) => Math.max(dueMs, breaker.retryAtMs ?? 0)));
      const pauseMs = Math.max(0, Math.min(IDLE_MS, nextMs - nowMs));
      // Even with nothing to wait for, other work of the process gets its turn: while answers come, each of them gives it one.
      if (pauseMs > 0 || answers === 0) await timers.sleep('modbus-poll', pauseMs, signal).catch(() => undefined);
    }
    this.#bus = null;
    await bus.close();
    signal.removeEventListener('abort', stop);
  }

  /**
   * Writes to one of the devices, between two reads; resolves once it has confirmed.
   * @throws TwinwatchError MODBUS_*; MODBUS_DISCONNECTED where the source does not run.
   */
  async write(device: string, request: WriteRequest): Promise<void> {
    const found = this.#devices.find(({ name }) => name === device);
    if (this.#bus === null || found === undefined)
      throw new TwinwatchError('MODBUS_DISCONNECTED', `${device} cannot be written to: ${this.name} is not running`);
    await this.#bus.write(found.unit, request);
  }

  #unpolled(device: ModbusDevice, bus: ModbusBus): Polled {
    const { clock } = this.#runtime;
    return {
      reader: new DeviceReader(device, bus, clock),
      breaker: CLOSED_BREAKER,
      fault: null,
      isStill: false,
      movedMs: clock.monotonic(),
      troubledMs: null,
      dueMs: 0,
      unchanged: 0,
    };
  }

  /** Of a device that has answered: whether what was wrong is over, and whether it still scans. */
  #watch(device: Polled, hasMoved: boolean, sink: SourceSink): void {
    const { clock, log } = this.#runtime;
    const { name, template } = device.reader.device;
    const nowMs = clock.monotonic();
    if (hasMoved || (device.fault !== null && !device.isStill)) device.movedMs = nowMs;
    const isStill = template.clock !== undefined && nowMs - device.movedMs >= this.#stillAfterMs;
    if (isStill && device.fault === null) {
      device.fault = `scan counter stands still for ${Math.round((nowMs - device.movedMs) / 1_000)} s; see whether the controller is stopped`;
      log.warn({ device: name }, device.fault);
      sink.fault(name, device.fault);
    } else if (!isStill && device.fault !== null) {
      device.fault = null;
      log.info({ device: name }, device.isStill ? 'device scans again' : 'device answers again');
      sink.fault(name, null);
    }
    device.isStill = isStill;
  }

  async #poll(device: Polled, sink: SourceSink, signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#runtime;
    const { name } = device.reader.device;
    const startedMs = clock.monotonic();
    // From due time to due time: a poll that took long must not make the rate slower.
    const dueMs = startedMs - device.dueMs < this.#everyMs ? device.dueMs : startedMs;
    try {
      const reading = await device.reader.read();
      if (!this.#polled.includes(device)) return;
      if (device.breaker.retryAtMs !== null && this.#isAlone(device)) this.#wakeOthers(device);
      device.breaker = answered();
      device.troubledMs = null;
      this.#watch(device, reading !== null, sink);
      device.unchanged = reading === null ? device.unchanged + 1 : 0;
      device.dueMs =
        reading === null
          ? clock.monotonic() + pauseUnchangedMs(device.unchanged)
          : device.reader.nextMs(dueMs, this.#everyMs);
      if (reading !== null) sink.reading(reading);
    } catch (error) {
      if (signal.aborted || !this.#polled.includes(device)) return;
      const nowMs = clock.monotonic();
      const code = error instanceof TwinwatchError ? error.code : 'MODBUS_MALFORMED';
      const message = error instanceof Error ? error.message : String(error);
      const lineDown = code === 'MODBUS_UNREACHABLE' || code === 'MODBUS_DISCONNECTED';
      // A line that is down is no fault of one unit, and the bus spaces its own attempts to connect.
      if (lineDown || code === 'MODBUS_OUT_OF_STEP') device.dueMs = nowMs + IDLE_MS;
      else {
        const { retries } = this.#config;
        const isAlone = this.#isAlone(device);
        device.breaker = failed(device.breaker, { nowMs, random: random(), retries, isAlone });
        device.dueMs = nowMs + backoffMs(device.breaker.failures, random());
      }
      device.troubledMs ??= nowMs;
      const isLong = nowMs - device.troubledMs >= Math.max(TROUBLED_MS, TROUBLED_TIMEOUTS * this.#config.timeoutMs);
      if (!isLong && device.breaker.retryAtMs === null && code !== 'MODBUS_UNREACHABLE') return;
      if (device.fault !== null) return;
      log.warn({ device: name, code }, message);
      device.fault = `${code}: ${message}`;
      device.isStill = false;
      sink.fault(name, device.fault);
    }
  }

  /** Whether no other unit of the bus answers. */
  #isAlone(device: Polled): boolean {
    return this.#polled.every((other) => other === device || other.breaker.retryAtMs !== null);
  }

  /** The line is alive again, so the others may be. */
  #wakeOthers(device: Polled): void {
    const nowMs = this.#runtime.clock.monotonic();
    for (const other of this.#polled) if (other !== device) other.breaker = probeNow(other.breaker, nowMs);
  }
}

/** Two devices that are alike in it are the same device, read the same way. */
export function identityOf({ name, unit, template }: ModbusDevice): string {
  return JSON.stringify([name, unit, template]);
}

/** When a site's device that answers but does not go on has a fault: what the site allows for a late one, at least. */
export function stillAfterMs(intervalMs: number, lateAfterMs: number): number {
  return Math.max(lateAfterMs, STILL_INTERVALS * intervalMs, STILL_MS);
}

function pauseUnchangedMs(times: number): number {
  return Math.min(UNCHANGED_LAST_MS, UNCHANGED_FIRST_MS * 2 ** Math.min(10, times >> 3));
}
