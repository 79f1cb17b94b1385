import type { DeviceTemplate } from '@twinwatch/core/config/device-template';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { Clock } from '@twinwatch/core/runtime';
import { decodeValue, registerWidth } from '@twinwatch/core/scada/registers';
import type { DeviceReading } from '@twinwatch/core/scada/row-assembler';
import type { Sample } from '@twinwatch/core/scada/sample';
import type { ModbusBus } from './bus.js';
import type { ReadRequest } from './frames.js';
import { bisect, type PlannedRead, type PlannedTag, planReads } from './read-plan.js';

export interface ModbusDevice {
  readonly name: string;
  readonly unit: number;
  readonly template: DeviceTemplate;
}

export interface RawSample extends Sample {
  /** Registers (or the bit) as they came; empty where none did. */
  readonly raw: readonly number[];
}

/** Times the device scanned on while it was being read, after which the poll is given up. */
const ATTEMPTS = 4;
/** Illegal address and illegal value: what a device answers to a read across a hole, or to one longer than it allows. */
const UNREADABLE = new Set([2, 3]);

/**
 * Reads one device completely. Where it serves a clock, the values are proven to belong to one scan: the counter is the
 * same before the first and after the last of them.
 */
export class DeviceReader {
  readonly device: ModbusDevice;
  readonly #bus: ModbusBus;
  readonly #clock: Clock;
  #reads: PlannedRead[];
  #lastSequence: number | null = null;

  constructor(device: ModbusDevice, bus: ModbusBus, clock: Clock) {
    this.device = device;
    this.#bus = bus;
    this.#clock = clock;
    this.#reads = planReads(device.template);
  }

  /**
   * Null where the device is still at the scan that was read last.
   * @throws TwinwatchError MODBUS_* where it does not answer; MODBUS_UNSTEADY where it scans faster than it can be read.
   */
  async read(): Promise<DeviceReading | null> {
    const { name, template } = this.device;
    if (template.clock === undefined) {
      const samples = await this.readTags(this.#clock.now());
      return { device: name, samples, sequence: null, timeMs: null };
    }
    let before = await this.readClock();
    if (before.sequence === this.#lastSequence) return null;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const samples = await this.readTags(before.timeMs);
      const after = await this.readClock();
      if (after.sequence === before.sequence) {
        this.#lastSequence = before.sequence;
        return { device: name, samples, ...before };
      }
      before = after;
    }
    throw new TwinwatchError(
      'MODBUS_UNSTEADY',
      `${name} went on to its next scan ${ATTEMPTS} times while being read; slow its scan down or give it a bus of its own`,
      { context: { device: name }, retryable: true },
    );
  }

  /** Every tag once. A tag that the device refuses is bad with the exception as reason; the rest is good all the same. */
  async readTags(sourceTimeMs: number): Promise<RawSample[]> {
    const samples: RawSample[] = [];
    const queue = [...this.#reads];
    const plan: PlannedRead[] = [];
    for (let read = queue.shift(); read !== undefined; read = queue.shift()) {
      try {
        const words = await this.#bus.read(this.device.unit, read.request);
        const received = this.#clock.now();
        for (const planned of read.tags) samples.push(decodeSample(planned, words, sourceTimeMs, received));
        plan.push(read);
      } catch (error) {
        const exception = error instanceof TwinwatchError ? error.context.exception : undefined;
        if (!(error instanceof TwinwatchError) || typeof exception !== 'number') throw error;
        const halves = UNREADABLE.has(exception) ? bisect(read) : null;
        if (halves !== null) {
          queue.unshift(...halves);
          continue;
        }
        const reason = `MODBUS_EXCEPTION ${exception}`;
        for (const { tag } of read.tags) samples.push(badSample(tag.name, reason, sourceTimeMs, this.#clock.now()));
        plan.push(read);
      }
    }
    // What had to be halved once is asked in halves from now on.
    this.#reads = plan;
    return samples;
  }

  /** Of a device whose template has a clock. */
  async readClock(): Promise<{ sequence: number; timeMs: number; arrivedMs: number }> {
    const { register, address } = this.device.template.clock!;
    const request: ReadRequest = { table: register, address, count: 4 };
    const words = await this.#bus.read(this.device.unit, request);
    const arrivedMs = this.#clock.monotonic();
    const long = (i: number) => (words[i] ?? 0) * 0x1_0000 + (words[i + 1] ?? 0);
    return { sequence: long(0), timeMs: long(2) * 1_000, arrivedMs };
  }
}

function badSample(tag: string, reason: string, sourceTimeMs: number, receivedTimeMs: number): RawSample {
  return { tag, value: Number.NaN, quality: 'bad', reason, sourceTimeMs, receivedTimeMs, raw: [] };
}

function decodeSample(
  { tag, layout, index }: PlannedTag,
  words: Uint16Array,
  sourceTimeMs: number,
  receivedTimeMs: number,
): RawSample {
  const decoded = decodeValue(words, index, layout);
  const raw = Array.from(words.subarray(index, index + registerWidth(layout.type)));
  const base = { tag: tag.name, sourceTimeMs, receivedTimeMs, raw };
  if (decoded.quality === 'bad') return { ...base, value: Number.NaN, quality: 'bad', reason: decoded.reason };
  const { value } = decoded;
  if ((tag.minimum !== undefined && value < tag.minimum) || (tag.maximum !== undefined && value > tag.maximum))
    return { ...base, value, quality: 'bad', reason: 'OUT_OF_RANGE' };
  return { ...base, value, quality: 'good' };
}
