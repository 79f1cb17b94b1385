import type { DeviceTemplate } from '@twinwatch/core/config/device-template';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { Clock } from '@twinwatch/core/runtime';
import { decodeText, reasonOfNone, registerWidth } from '@twinwatch/core/scada/registers';
import type { DeviceReading } from '@twinwatch/core/scada/row-assembler';
import { isClockSet, type Sample } from '@twinwatch/core/scada/sample';
import type { ModbusBus } from './bus.js';
import { bisect, type PlannedRead, type PlannedTag, planReads } from './read-plan.js';
import type { ReadRequest } from './requests.js';

export interface ModbusDevice {
  readonly name: string;
  readonly unit: number;
  readonly template: DeviceTemplate;
}

/** An answer that has come and is not taken apart yet. */
interface Answer {
  readonly read: PlannedRead;
  readonly words: Uint16Array;
  readonly times: SampleTimes;
  readonly tell: TellWords | undefined;
}

/** Registers (or the bit) that a tag came in. */
export type TellWords = (tag: string, words: readonly number[]) => void;

/** Times the device scanned on while it was being read, after which the poll is given up. */
const ATTEMPTS = 4;
/** How long reads go around what was refused: a controller that was only starting refuses everything, too. */
const HOLES_KNOWN_MS = 10 * 60_000;
/** No path to the unit, or no answer of it: a gateway says so of one that is silent. */
const GATEWAY_SILENCE = new Set([10, 11]);
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
  #last: { readonly sequence: number; readonly connection: number } | null = null;
  /** By the tag's place in the template: what it was when it was read last. */
  readonly #kept: Sample[] = [];
  /** For reads with an interval of their own: monotonic ms at which each is due, where that is not every time. */
  readonly #dueMs = new Map<PlannedRead, number>();
  /** Monotonic ms at which the first of the reads was halved; null where none is. */
  #halvedMs: number | null = null;

  constructor(device: ModbusDevice, bus: ModbusBus, clock: Clock) {
    this.device = device;
    this.#bus = bus;
    this.#clock = clock;
    this.#reads = planReads(device.template);
  }

  /** Monotonic ms at which something is to be read again, where all that has no interval of its own was begun at `startedMs`. */
  nextMs(startedMs: number, everyMs: number): number {
    const own = this.#reads.map((read) =>
      read.everyMs === null ? startedMs + everyMs : (this.#dueMs.get(read) ?? startedMs),
    );
    return Math.min(...own);
  }

  /**
   * All tags, those whose interval has not passed as they were read last. Null where the device is still at the scan that was read last, over the same connection.
   * @throws TwinwatchError MODBUS_* where it does not answer; MODBUS_UNSTEADY where it scans faster than it can be read.
   */
  async read(): Promise<DeviceReading | null> {
    const { name, template } = this.device;
    if (template.clock === undefined) {
      const arrivedMs = this.#clock.monotonic();
      await this.#readDue(null);
      return { device: name, samples: this.#kept.slice(), sequence: null, timeMs: null, arrivedMs };
    }
    let before = await this.readClock();
    // Behind a line that was opened anew the device may have started anew, at the same count: it is read again.
    if (before.sequence === this.#last?.sequence && this.#bus.connections === this.#last.connection) return null;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      await this.#readDue(before.timeMs);
      const after = await this.readClock();
      if (after.sequence === before.sequence) {
        this.#last = { sequence: before.sequence, connection: this.#bus.connections };
        return { device: name, samples: this.#kept.slice(), ...before };
      }
      before = after;
    }
    throw new TwinwatchError(
      'MODBUS_UNSTEADY',
      `${name} went on to its next scan ${ATTEMPTS} times while being read; slow its scan down or give it a bus of its own`,
      { context: { device: name }, retryable: true },
    );
  }

  /** Every tag once, due or not, for a person to look at. */
  async readTags(tell: TellWords): Promise<readonly Sample[]> {
    this.#dueMs.clear();
    await this.#readDue(null, tell);
    return this.#kept.slice();
  }

  /**
   * What is due. A tag that the device refuses is bad with the exception as reason; the rest is good all the same.
   * @param sourceTimeMs by the device's own clock; null where it has none.
   */
  async #readDue(sourceTimeMs: number | null, tell?: TellWords): Promise<void> {
    const startedMs = this.#clock.monotonic();
    if (this.#halvedMs !== null && startedMs - this.#halvedMs >= HOLES_KNOWN_MS) this.#forgetHoles();
    const queue = [...this.#reads];
    const plan: PlannedRead[] = [];
    let before: Answer | null = null;
    for (let read = queue.shift(); read !== undefined; read = queue.shift()) {
      if (read.everyMs !== null && (this.#dueMs.get(read) ?? startedMs) > startedMs) {
        plan.push(read);
        continue;
      }
      try {
        const answer = this.#bus.read(this.device.unit, read.request);
        // While the device thinks about this one, the answer before it is taken apart.
        if (before !== null) this.#keep(before);
        before = null;
        const words = await answer;
        before = { read, words, times: this.#times(sourceTimeMs), tell };
      } catch (error) {
        const exception = error instanceof TwinwatchError ? error.context.exception : undefined;
        if (!(error instanceof TwinwatchError) || typeof exception !== 'number') throw error;
        if (GATEWAY_SILENCE.has(exception)) throw error;
        const halves = UNREADABLE.has(exception) ? bisect(read) : null;
        if (halves !== null) {
          queue.unshift(...halves);
          this.#halvedMs ??= startedMs;
          continue;
        }
        const times = this.#times(sourceTimeMs);
        for (const { tag, place } of read.tags)
          this.#kept[place] = badSample(tag.name, Number.NaN, `MODBUS_EXCEPTION ${exception}`, times);
      }
      plan.push(read);
      if (read.everyMs !== null) this.#dueMs.set(read, startedMs + read.everyMs);
    }
    if (before !== null) this.#keep(before);
    // What had to be halved once is asked in halves from now on.
    this.#reads = plan;
    for (const read of this.#dueMs.keys()) if (!plan.includes(read)) this.#dueMs.delete(read);
  }

  /** Whole reads again, each due when the first of its halves is. */
  #forgetHoles(): void {
    const due = [...this.#dueMs];
    this.#dueMs.clear();
    this.#halvedMs = null;
    this.#reads = planReads(this.device.template);
    for (const read of this.#reads) {
      const { everyMs } = read;
      if (everyMs === null) continue;
      const ownMs = due.flatMap(([{ everyMs: other }, dueMs]) => (other === everyMs ? [dueMs] : []));
      if (ownMs.length > 0) this.#dueMs.set(read, Math.min(...ownMs));
    }
  }

  #times(sourceTimeMs: number | null): SampleTimes {
    const wallMs = this.#clock.now();
    return {
      sourceTimeMs: sourceTimeMs ?? wallMs,
      receivedTimeMs: wallMs,
      receivedMonotonicMs: this.#clock.monotonic(),
      isTimeKnown: sourceTimeMs !== null || isClockSet(wallMs),
    };
  }

  #keep({ read, words, times, tell }: Answer): void {
    const kept = this.#kept;
    if (read.columns !== null && tell === undefined) {
      const { decode, names, places, indexes } = read.columns;
      for (let i = 0; i < names.length; i++) {
        const value = decode(words, indexes[i]!);
        kept[places[i]!] = Number.isNaN(value)
          ? otherSample(read.tags[i]!, value, words, times)
          : new GoodSample(names[i]!, value, times);
      }
      return;
    }
    for (const planned of read.tags) {
      const value = planned.decode(words, planned.index);
      kept[planned.place] =
        value >= planned.minimum && value <= planned.maximum
          ? new GoodSample(planned.name, value, times)
          : otherSample(planned, value, words, times);
      tell?.(
        planned.tag.name,
        Array.from(words.subarray(planned.index, planned.index + registerWidth(planned.layout))),
      );
    }
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

type SampleTimes = Pick<Sample, 'sourceTimeMs' | 'receivedTimeMs' | 'receivedMonotonicMs' | 'isTimeKnown'>;

/** What nearly every sample is. The times are the read's: numbers of their own in each sample would cost more than reading and decoding together. */
class GoodSample implements Sample {
  readonly tag: string;
  readonly value: number;
  readonly quality = 'good';
  readonly times: SampleTimes;

  constructor(tag: string, value: number, times: SampleTimes) {
    this.tag = tag;
    this.value = value;
    this.times = times;
  }

  get sourceTimeMs(): number {
    return this.times.sourceTimeMs;
  }

  get receivedTimeMs(): number {
    return this.times.receivedTimeMs;
  }

  get receivedMonotonicMs(): number {
    return this.times.receivedMonotonicMs;
  }

  get isTimeKnown(): boolean {
    return this.times.isTimeKnown;
  }
}

function badSample(tag: string, value: number, reason: string, times: SampleTimes): Sample {
  return { tag, value, quality: 'bad', reason, ...times };
}

/** Of a value that is not one, or out of its limits, or letters. */
function otherSample(
  { tag, layout, index }: PlannedTag,
  value: number,
  words: Uint16Array,
  times: SampleTimes,
): Sample {
  const text = layout.type === 'STRING' ? decodeText(words, index, layout) : null;
  if (text !== null) return { tag: tag.name, value: Number.NaN, text, quality: 'good', ...times };
  if (Number.isNaN(value)) return badSample(tag.name, value, reasonOfNone(words, index, layout), times);
  return badSample(tag.name, value, 'OUT_OF_RANGE', times);
}
