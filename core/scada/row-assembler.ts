import type { Quality, Row, Sample } from './sample.js';

/** Everything one device said at once. */
export interface DeviceReading {
  readonly device: string;
  readonly samples: readonly Sample[];
  /** The device's scan counter and the time of that scan; null where it serves none. */
  readonly sequence: number | null;
  readonly timeMs: number | null;
  /** Monotonic ms at which the device's first response of this scan was there; where it is not told, the reading's own arrival counts. */
  readonly arrivedMs?: number;
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
  /** [tags]; why a value is not good, null where it is. */
  readonly reasons: readonly (string | null)[];
  /** Monotonic ms at which the first device's response to the row's scan arrived, however long the row then waited for the others. */
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
  /** Readings that came after their row had gone on without them, or that were refused for a time no other reading bore out. */
  late: number;
  /** Times the alignment began anew because a counter or clock fell back. */
  restarts: number;
  badSamples: number;
}

interface Pending {
  readonly timeMs: number;
  readonly sequence: number | null;
  /** Since when it waits, and the arrival of its first response; monotonic. */
  readonly firstMs: number;
  arrivedMs: number;
  readonly readings: Map<string, DeviceReading>;
}

/** Readings of one device that say, one after the other, that its counter or clock is not where the rows are. */
interface Astray {
  /** Of the newest of them. */
  key: number;
  timeMs: number;
  /** Rows emitted by the time it came: while others' rows go on, a late device is behind, not restarted. */
  rows: number;
  /** How many in a row. */
  run: number;
  /** Those since the last row was emitted, told again if they are borne out. */
  held: { readonly reading: DeviceReading; readonly nowMs: number }[];
}

/** A row is held back for this many newer ones at most, whatever lateAfterMs says: bounds memory. */
const LONGEST_BACKLOG = 16;
/** Readings that all say the same make a counter or clock that fell back, or jumped, believed. One may be a glitch. */
const BELIEVED_AFTER = 4;
/** A device that is late this often is named. */
const BEHIND_AFTER = 20;
/** A time further on than this many rows is believed only once it persists. */
const PLAUSIBLE_ROWS = 1_000;
/** Why a value is stale where no more is known. */
const NO_ANSWER = 'NO_ANSWER';
/** A restart is told for this many rows. */
const RESTART_TOLD_ROWS = 60;

/**
 * Readings of devices in, rows out. Has no clock: times come with every call, monotonic for waiting (`nowMs`), wall clock
 * (`wallMs`) for rows of devices that serve no time. The same calls give the same rows.
 */
export class RowAssembler {
  readonly tags: readonly string[];
  readonly counts: AssemblerCounts = { rows: 0, missingRows: 0, duplicates: 0, late: 0, restarts: 0, badSamples: 0 };
  readonly #options: RowAssemblerOptions;
  readonly #clocked: ReadonlySet<string>;
  readonly #tagIndex: ReadonlyMap<string, number>;
  readonly #pending = new Map<number, Pending>();
  /** Device that has stopped answering → what is wrong with it. */
  readonly #down = new Map<string, string>();
  /** Newest reading of every device without a clock, and when it came. */
  readonly #latest = new Map<string, { reading: DeviceReading; atMs: number }>();
  #last: { key: number; timeMs: number; missing: readonly string[] } | null;
  /** Time of the newest reading that was believed; a jump is measured from here. */
  #reachedMs: number | null;
  /** By device: readings older than the last row, and readings implausibly far ahead of it. */
  readonly #behind = new Map<string, Astray>();
  readonly #ahead = new Map<string, Astray>();
  /** What fell back last, and for how many rows that is still told. */
  #restarted: { device: string; rows: number } | null = null;

  constructor(options: RowAssemblerOptions) {
    this.#options = options;
    this.tags = options.devices.flatMap((device) => device.tags);
    this.#tagIndex = new Map(this.tags.map((tag, i) => [tag, i]));
    this.#clocked = new Set(options.devices.filter((device) => device.clocked).map((device) => device.name));
    const { last } = options;
    this.#last =
      last === null ? null : { timeMs: last.timeMs, key: this.#key(last.sequence, last.timeMs), missing: [] };
    this.#reachedMs = last === null ? null : last.timeMs;
  }

  /** Device → what is wrong with its counter or clock, for those that are not where the rows are. */
  get faults(): Map<string, string> {
    const faults = new Map<string, string>();
    if (this.#restarted !== null)
      faults.set(this.#restarted.device, 'its scan counter or clock fell back; rows are aligned to it anew');
    for (const [device, { run, timeMs }] of this.#behind)
      if (run >= BEHIND_AFTER)
        faults.set(
          device,
          `its readings (last of ${dated(timeMs)}) come after their rows; check its clock and lateAfter`,
        );
    for (const [device, { timeMs }] of this.#ahead)
      faults.set(device, `its clock jumped to ${dated(timeMs)}; not believed until it persists`);
    return faults;
  }

  /** Where another assembler goes on: the row told last, null before the first. */
  get lastRow(): { readonly timeMs: number; readonly sequence: number | null } | null {
    if (this.#last === null || !Number.isFinite(this.#last.key)) return null;
    const { key, timeMs } = this.#last;
    return { timeMs, sequence: this.#options.align === 'sequence' && this.#clocked.size > 0 ? key : null };
  }

  /** Readings that no row holds yet, in the order they came: for another assembler to go on with. */
  get unfinished(): { readonly reading: DeviceReading; readonly nowMs: number }[] {
    const pending = [...this.#pending.entries()].sort(([a], [b]) => a - b).map(([, row]) => row);
    return [
      ...[...this.#latest.values()].map(({ reading, atMs }) => ({ reading, nowMs: atMs })),
      ...pending.flatMap(({ readings, firstMs }) =>
        [...readings.values()].map((reading) => ({ reading, nowMs: firstMs })),
      ),
      ...[...this.#behind.values(), ...this.#ahead.values()].flatMap(({ held }) => held),
    ];
  }

  reading(reading: DeviceReading, nowMs: number): AssembledRow[] {
    const { device, sequence, timeMs } = reading;
    this.#down.delete(device);
    if (!this.#clocked.has(device) || timeMs === null) {
      this.#latest.set(device, { reading, atMs: nowMs });
      return [];
    }
    const key = this.#key(sequence, timeMs);
    if (this.#isFarAhead(timeMs)) return this.#refuse(reading, key, timeMs, nowMs);
    this.counts.late += this.#ahead.get(device)?.held.length ?? 0;
    this.#ahead.delete(device);
    // A counter that fell back while time went on is a device that restarted, not an old row.
    if (
      this.#last !== null &&
      key <= this.#last.key &&
      timeMs > this.#last.timeMs &&
      this.#options.align === 'sequence'
    )
      this.#restart(device);
    if (this.#last !== null && key <= this.#last.key) return this.#tooLate(reading, key, timeMs, nowMs);
    this.#behind.delete(device);
    return this.#accept(reading, key, timeMs, nowMs);
  }

  /** A device has stopped answering: rows no longer wait for it, until its next reading. */
  fault(device: string, nowMs: number, reason = NO_ANSWER): AssembledRow[] {
    this.#down.set(device, reason);
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
    const arrivedMs = Math.min(
      ...[...this.#latest.values()]
        .filter(({ atMs }) => this.#isFresh(atMs, nowMs))
        .map(({ reading, atMs }) => reading.arrivedMs ?? atMs),
      nowMs,
    );
    const pending = { timeMs: key * intervalMs, sequence: null, firstMs: nowMs, arrivedMs, readings: new Map() };
    return [this.#emit(key, pending, nowMs)];
  }

  #isFresh(atMs: number, nowMs: number): boolean {
    const { lateAfterMs, intervalMs } = this.#options;
    return nowMs - atMs <= Math.max(lateAfterMs, intervalMs);
  }

  #key(sequence: number | null, timeMs: number): number {
    const { align, intervalMs } = this.#options;
    return align === 'sequence' && sequence !== null ? sequence : Math.floor(timeMs / intervalMs);
  }

  #restart(device: string): void {
    this.#pending.clear();
    this.#behind.clear();
    this.counts.restarts++;
    this.#restarted = { device, rows: RESTART_TOLD_ROWS };
    this.#reachedMs = null;
    if (this.#last !== null) this.#last = { ...this.#last, key: Number.NEGATIVE_INFINITY };
  }

  #accept(reading: DeviceReading, key: number, timeMs: number, nowMs: number): AssembledRow[] {
    this.#reachedMs = timeMs;
    const pending = this.#pending.get(key) ?? {
      ...{ timeMs, sequence: reading.sequence, firstMs: nowMs, arrivedMs: nowMs },
      readings: new Map<string, DeviceReading>(),
    };
    pending.arrivedMs = Math.min(pending.arrivedMs, reading.arrivedMs ?? nowMs);
    if (pending.readings.has(reading.device)) this.counts.duplicates++;
    else pending.readings.set(reading.device, reading);
    this.#pending.set(key, pending);
    return this.#release(nowMs);
  }

  #isFarAhead(timeMs: number): boolean {
    return this.#reachedMs !== null && timeMs - this.#reachedMs > PLAUSIBLE_ROWS * this.#options.intervalMs;
  }

  /** Of a reading far ahead: held until the next ones bear it out, for one that is taken would make every later one too late. */
  #refuse(reading: DeviceReading, key: number, timeMs: number, nowMs: number): AssembledRow[] {
    const { device } = reading;
    const before = this.#ahead.get(device);
    const goesOn = before !== undefined && key > before.key && timeMs >= before.timeMs;
    if (before !== undefined && !goesOn) this.counts.late += before.held.length;
    const held = [...(goesOn ? before.held : []), { reading, nowMs }];
    this.#ahead.set(device, { key, timeMs, rows: this.counts.rows, run: held.length, held });
    if (held.length < BELIEVED_AFTER) return [];
    this.#reachedMs = null;
    // A clock that fell back and is set right again left no rows out.
    if (this.#restarted !== null) this.#restart(device);
    return this.#tellAgain(this.#ahead);
  }

  /** A row gone by: late for it, or the first of a counter or clock that fell back. */
  #tooLate(reading: DeviceReading, key: number, timeMs: number, nowMs: number): AssembledRow[] {
    const { device } = reading;
    if (this.#last !== null && key === this.#last.key && !this.#last.missing.includes(device)) {
      this.counts.duplicates++;
      return [];
    }
    this.counts.late++;
    const before = this.#behind.get(device);
    const goesOn = before !== undefined && key > before.key;
    // While rows go on without it, the others are right; a counter that fell back alone must not take them along.
    const isStill = goesOn && before.rows === this.counts.rows;
    const held = [...(isStill ? before.held : []), { reading, nowMs }];
    this.#behind.set(device, { key, timeMs, rows: this.counts.rows, run: goesOn ? before.run + 1 : 1, held });
    if (held.length < BELIEVED_AFTER) return [];
    const again = new Map(this.#behind);
    this.#restart(device);
    this.counts.late -= [...again.values()].reduce((sum, astray) => sum + astray.held.length, 0);
    return this.#tellAgain(again);
  }

  /** What was held, in the order it came. */
  #tellAgain(astray: Map<string, Astray>): AssembledRow[] {
    const held = [...astray.values()].flatMap((one) => one.held).sort((a, b) => a.nowMs - b.nowMs);
    astray.clear();
    return held.flatMap(({ reading, nowMs }) => this.reading(reading, nowMs));
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
    const { devices } = this.#options;
    const values = new Float64Array(this.tags.length).fill(Number.NaN);
    const quality: Quality[] = new Array<Quality>(this.tags.length).fill('stale');
    const reasons = new Array<string | null>(this.tags.length).fill(NO_ANSWER);
    const missing: string[] = [];
    for (const { name, clocked, tags } of devices) {
      const latest = this.#latest.get(name);
      const fresh = latest !== undefined && this.#isFresh(latest.atMs, nowMs);
      const reading = pending.readings.get(name) ?? (clocked || !fresh ? undefined : latest.reading);
      const fault = this.#down.get(name);
      if (reading === undefined) missing.push(name);
      if (reading === undefined && fault !== undefined)
        for (const tag of tags) reasons[this.#tagIndex.get(tag)!] = fault;
      for (const sample of reading?.samples ?? []) {
        const at = this.#tagIndex.get(sample.tag);
        if (at === undefined) continue;
        quality[at] = sample.quality;
        reasons[at] = sample.quality === 'good' ? null : (sample.reason ?? sample.quality);
        if (sample.quality === 'good') values[at] = sample.value;
        else this.counts.badSamples++;
      }
    }
    const gap = this.#last === null || !Number.isFinite(this.#last.key) ? 0 : Math.max(0, key - this.#last.key - 1);
    this.#last = { key, timeMs: pending.timeMs, missing };
    if (this.#restarted !== null && --this.#restarted.rows <= 0) this.#restarted = null;
    this.counts.rows++;
    this.counts.missingRows += gap;
    const row: Row = { timeMs: pending.timeMs, sequence: pending.sequence, values };
    return { row, quality, reasons, receivedMs: pending.arrivedMs, missing, gap };
  }
}

function dated(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
