import type { BusConfig } from '@twinwatch/core/config/agent';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { Clock, Logger, Timers } from '@twinwatch/core/runtime';
import type { Source, SourceSink } from '../source.js';
import { answered, type Breaker, CLOSED_BREAKER, failed, mayAsk } from './breaker.js';
import { ModbusBus } from './bus.js';
import { type OpenStream, serialStream, tcpStream } from './byte-stream.js';
import { DeviceReader, type ModbusDevice } from './device-reader.js';
import { rtuFraming, tcpFraming } from './frames.js';

export interface ModbusRuntime {
  readonly clock: Clock;
  readonly timers: Timers;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
}

/** Between questions to a device that is still at the scan read last: grows from the first to the last, ms. */
const UNCHANGED_FIRST_MS = 2;
const UNCHANGED_LAST_MS = 250;
/** Nothing new for this many intervals, and at least this long, is a device that no longer scans: plants may hold a row while they are busy. */
const STILL_INTERVALS = 5;
const STILL_MS = 60_000;
/** When every device of a bus is left alone: how often to look whether one may be asked again, ms. */
const IDLE_MS = 50;

/** @throws TwinwatchError CONFIG_INVALID where a serial parameter is not one. */
export function openBus(config: BusConfig, runtime: ModbusRuntime): ModbusBus {
  const url = new URL(config.url);
  const rtu = url.protocol !== 'tcp:';
  return new ModbusBus({
    ...runtime,
    name: config.url,
    open: streamOf(url, config.timeoutMs),
    framing: rtu ? rtuFraming : tcpFraming,
    timeoutMs: config.timeoutMs,
    delayMs: config.delayMs,
  });
}

function streamOf(url: URL, timeoutMs: number): OpenStream {
  if (url.protocol !== 'rtu:') return tcpStream(url.hostname, Number(url.port), timeoutMs);
  const wrong = (what: string) =>
    new TwinwatchError('CONFIG_INVALID', `${url.href}: ${what}`, { context: { url: url.href } });
  const known = ['baudRate', 'parity', 'dataBits', 'stopBits'];
  for (const key of url.searchParams.keys())
    if (!known.includes(key)) throw wrong(`unknown parameter '${key}'; use ${known.join(', ')}`);
  const choose = <T extends string>(key: string, choices: readonly [T, ...T[]]): T => {
    const given = url.searchParams.get(key) ?? choices[0];
    const found = choices.find((choice) => choice === given);
    if (found === undefined) throw wrong(`${key} must be one of ${choices.join(', ')}`);
    return found;
  };
  const baudRate = Number(url.searchParams.get('baudRate') ?? 9_600);
  if (!Number.isInteger(baudRate) || baudRate < 50) throw wrong('baudRate must be a number such as 9600');
  return serialStream({
    path: url.pathname,
    baudRate,
    parity: choose('parity', ['none', 'even', 'odd']),
    dataBits: choose('dataBits', ['8', '7']) === '8' ? 8 : 7,
    stopBits: choose('stopBits', ['1', '2']) === '1' ? 1 : 2,
  });
}

interface Polled {
  readonly reader: DeviceReader;
  breaker: Breaker;
  fault: string | null;
  /** Whether the fault is that it answers and does not scan. */
  isStill: boolean;
  /** Monotonic ms of its newest scan, or of when it began to answer. */
  movedMs: number;
  /** Monotonic ms of the next question. */
  dueMs: number;
  unchanged: number;
}

/** Polls the devices of one bus, one after the other, each when it is due. */
export class ModbusSource implements Source {
  readonly name: string;
  readonly devices: readonly string[];
  readonly #config: BusConfig;
  readonly #devices: readonly ModbusDevice[];
  readonly #everyMs: number;
  readonly #stillAfterMs: number;
  readonly #runtime: ModbusRuntime;

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
    this.devices = devices.map((device) => device.name);
    this.#config = config;
    this.#devices = devices;
    this.#everyMs = everyMs;
    this.#stillAfterMs = stillAfterMs;
    this.#runtime = runtime;
  }

  async start(signal: AbortSignal, sink: SourceSink): Promise<void> {
    const { clock, timers } = this.#runtime;
    const bus = openBus(this.#config, this.#runtime);
    const stop = () => void bus.close();
    signal.addEventListener('abort', stop, { once: true });
    const polled: Polled[] = this.#devices.map((device) => ({
      reader: new DeviceReader(device, bus, clock),
      breaker: CLOSED_BREAKER,
      fault: null,
      isStill: false,
      movedMs: clock.monotonic(),
      dueMs: 0,
      unchanged: 0,
    }));
    while (!signal.aborted) {
      for (const device of polled) {
        if (signal.aborted) break;
        const nowMs = clock.monotonic();
        if (nowMs >= device.dueMs && mayAsk(device.breaker, nowMs)) await this.#poll(device, sink, signal);
      }
      const nowMs = clock.monotonic();
      const nextMs = Math.min(...polled.map(({ dueMs, breaker }) => Math.max(dueMs, breaker.retryAtMs ?? 0)));
      // Even with nothing to wait for, other work of the process gets its turn.
      const pauseMs = Math.max(0, Math.min(IDLE_MS, nextMs - nowMs));
      await timers.sleep('modbus-poll', pauseMs, signal).catch(() => undefined);
    }
    await bus.close();
    signal.removeEventListener('abort', stop);
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
    try {
      const reading = await device.reader.read();
      device.breaker = answered();
      this.#watch(device, reading !== null, sink);
      device.unchanged = reading === null ? device.unchanged + 1 : 0;
      device.dueMs =
        reading === null
          ? clock.monotonic() + pauseUnchangedMs(device.unchanged)
          : device.reader.nextMs(startedMs, this.#everyMs);
      if (reading !== null) sink.reading(reading);
    } catch (error) {
      if (signal.aborted) return;
      const code = error instanceof TwinwatchError ? error.code : 'MODBUS_MALFORMED';
      const message = error instanceof Error ? error.message : String(error);
      const lineDown = code === 'MODBUS_UNREACHABLE' || code === 'MODBUS_DISCONNECTED';
      // A line that is down is no fault of one unit, and the bus spaces its own attempts to connect.
      if (!lineDown && code !== 'MODBUS_OUT_OF_STEP')
        device.breaker = failed(device.breaker, clock.monotonic(), random());
      device.dueMs = clock.monotonic() + (lineDown || code === 'MODBUS_OUT_OF_STEP' ? IDLE_MS : 0);
      const given = device.breaker.retryAtMs !== null || code === 'MODBUS_UNREACHABLE';
      if (given && device.fault === null) {
        log.warn({ device: name, code }, message);
        device.fault = `${code}: ${message}`;
        device.isStill = false;
        sink.fault(name, device.fault);
      }
    }
  }
}

/** When a site's device that answers but does not go on has a fault: what the site allows for a late one, at least. */
export function stillAfterMs(intervalMs: number, lateAfterMs: number): number {
  return Math.max(lateAfterMs, STILL_INTERVALS * intervalMs, STILL_MS);
}

function pauseUnchangedMs(times: number): number {
  return Math.min(UNCHANGED_LAST_MS, UNCHANGED_FIRST_MS * 2 ** Math.min(10, times >> 3));
}
