import type { Quality, Row, Sample } from './sample.js';

/** Everything one device said at once. */
export interface DeviceReading {
  readonly device: string;
  readonly samples: readonly Sample[];
  /** The device's scan counter and the time of that scan; null where it serves none. */
  readonly sequence: number | null;
  readonly timeMs: number | null;
}

export interface AssembledDevice {
  readonly name: string;
  readonly tags: readonly string[];
  /** Whether it serves a scan counter and time. */
  readonly clocked: boolean;
}

export interface RowAssemblerOptions {
  readonly devices: readonly AssembledDevice[];
  /** Source time between rows. */
  readonly intervalMs: number;
  /** A row that has waited this long for a device goes on without it. */
  readonly lateAfterMs: number;
  /** Clocked devices share one scan counter ('sequence'), or each has its own and only their times agree ('time'). */
  readonly align: 'sequence' | 'time';
  /** Newest row that is already stored: it and older ones are not told again. Null for none. */
  readonly last: { readonly sequence: number | null; readonly timeMs: number } | null;
}

export interface AssembledRow {
  readonly row: Row;
  /** [tags], beside row.values. */
  readonly quality: readonly Quality[];
  /** Monotonic ms at which the last reading of the row arrived. */
  readonly receivedMs: number;
  /** Devices whose values are missing. */
  readonly missing: readonly string[];
  /** Rows lost between this one and the one before. */
  readonly gap: number;
}

export interface AssemblerCounts {
  rows: number;
  /** Rows that never came, told by the sequence or by time. */
  missingRows: number;
  /** Readings of a row that was already complete: the same answer twice. */
  duplicates: number;
  /** Readings that came after their row had gone on without them. */
  late: number;
  badSamples: number;
}

interface Pending {
  readonly timeMs: number;
  readonly sequence: number | null;
  readonly firstMs: number;
  readonly readings: Map<string, DeviceReading>;
}

/** A row is held back for this many newer ones at most, whatever lateAfterMs says: bounds memory. */
const LONGEST_BACKLOG = 16;

/**
 * Readings of devices in, rows out. Has no clock: times come with every call, monotonic for waiting (`nowMs`), wall clock
 * (`wallMs`) for rows of devices that serve no time. The same calls give the same rows.
 */
export class RowAssembler {
  readonly tags: readonly string[];
  readonly counts: AssemblerCounts = { rows: 0, missingRows: 0, duplicates: 0, late: 0, badSamples: 0 };
  readonly #options: RowAssemblerOptions;
  readonly #clocked: ReadonlySet<string>;
  readonly #tagIndex: ReadonlyMap<string, number>;
  readonly #pending = new Map<number, Pending>();
  readonly #down = new Set<string>();
  /** Newest reading of every device without a clock, and when it came. */
  readonly #latest = new Map<string, { reading: DeviceReading; atMs: number }>();
  #last: { key: number; timeMs: number; missing: readonly string[] } | null;

  constructor(options: RowAssemblerOptions) {
    this.#options = options;
    this.tags = options.devices.flatMap((device) => device.tags);
    this.#tagIndex = new Map(this.tags.map((tag, i) => [tag, i]));
    this.#clocked = new Set(options.devices.filter((device) => device.clocked).map((device) => device.name));
    const { last } = options;
    this.#last =
      last === null ? null : { timeMs: last.timeMs, key: this.#key(last.sequence, last.timeMs), missing: [] };
  }

  reading(reading: DeviceReading, nowMs: number): AssembledRow[] {
    const { device, sequence, timeMs } = reading;
    this.#down.delete(device);
    if (!this.#clocked.has(device) || timeMs === null) {
      this.#latest.set(device, { reading, atMs: nowMs });
      return [];
    }
    const key = this.#key(sequence, timeMs);
    // A counter that fell back while time went on is a device that restarted, not an old row.
    if (
      this.#last !== null &&
      key <= this.#last.key &&
      timeMs > this.#last.timeMs &&
      this.#options.align === 'sequence'
    )
      this.#restart();
    if (this.#last !== null && key <= this.#last.key) {
      if (key === this.#last.key && !this.#last.missing.includes(device)) this.counts.duplicates++;
      else this.counts.late++;
      return [];
    }
    const pending = this.#pending.get(key) ?? { timeMs, sequence, firstMs: nowMs, readings: new Map() };
    if (pending.readings.has(device)) this.counts.duplicates++;
    else pending.readings.set(device, reading);
    this.#pending.set(key, pending);
    return this.#release(nowMs);
  }

  /** A device has stopped answering: rows no longer wait for it, until its next reading. */
  fault(device: string, nowMs: number): AssembledRow[] {
    this.#down.add(device);
    this.#latest.delete(device);
    return this.#release(nowMs);
  }

  /** To be called a few times per interval: lets late rows go, and makes the rows of sites where no device serves a time. */
  tick(nowMs: number, wallMs: number): AssembledRow[] {
    if (this.#clocked.size > 0) return this.#release(nowMs);
    const { intervalMs } = this.#options;
    const key = Math.floor(wallMs / intervalMs);
    // A wall clock that was set back by less than an interval would tell the last row again.
    if (this.#latest.size === 0 || (this.#last !== null && (key === this.#last.key || key === this.#last.key - 1)))
      return [];
    return [this.#emit(key, { timeMs: key * intervalMs, sequence: null, firstMs: nowMs, readings: new Map() }, nowMs)];
  }

  #key(sequence: number | null, timeMs: number): number {
    const { align, intervalMs } = this.#options;
    return align === 'sequence' && sequence !== null ? sequence : Math.floor(timeMs / intervalMs);
  }

  #restart(): void {
    this.#pending.clear();
    if (this.#last !== null) this.#last = { ...this.#last, key: Number.NEGATIVE_INFINITY };
  }

  #complete(pending: Pending): boolean {
    for (const device of this.#clocked) if (!pending.readings.has(device) && !this.#down.has(device)) return false;
    return true;
  }

  /** Rows that need not wait longer, oldest first: a row older than a complete one will never be completed. */
  #release(nowMs: number): AssembledRow[] {
    const keys = [...this.#pending.keys()].sort((a, b) => a - b);
    let until = -1;
    for (const [i, key] of keys.entries()) {
      const pending = this.#pending.get(key)!;
      const overdue = nowMs - pending.firstMs >= this.#options.lateAfterMs || keys.length - i > LONGEST_BACKLOG;
      if (overdue || this.#complete(pending)) until = i;
    }
    return keys.slice(0, until + 1).map((key) => {
      const pending = this.#pending.get(key)!;
      this.#pending.delete(key);
      return this.#emit(key, pending, nowMs);
    });
  }

  #emit(key: number, pending: Pending, nowMs: number): AssembledRow {
    const { devices, lateAfterMs, intervalMs } = this.#options;
    const values = new Float64Array(this.tags.length).fill(Number.NaN);
    const quality: Quality[] = new Array<Quality>(this.tags.length).fill('stale');
    const missing: string[] = [];
    for (const { name, clocked } of devices) {
      const latest = this.#latest.get(name);
      const fresh = latest !== undefined && nowMs - latest.atMs <= Math.max(lateAfterMs, intervalMs);
      const reading = pending.readings.get(name) ?? (clocked || !fresh ? undefined : latest.reading);
      if (reading === undefined) missing.push(name);
      for (const sample of reading?.samples ?? []) {
        const at = this.#tagIndex.get(sample.tag);
        if (at === undefined) continue;
        quality[at] = sample.quality;
        if (sample.quality === 'good') values[at] = sample.value;
        else this.counts.badSamples++;
      }
    }
    const gap = this.#last === null || !Number.isFinite(this.#last.key) ? 0 : Math.max(0, key - this.#last.key - 1);
    this.#last = { key, timeMs: pending.timeMs, missing };
    this.counts.rows++;
    this.counts.missingRows += gap;
    const row: Row = { timeMs: pending.timeMs, sequence: pending.sequence, values };
    return { row, quality, receivedMs: nowMs, missing, gap };
  }
}
