import type { DeviceTemplate } from '@twinwatch/core/config/device-template';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { Clock, Timers } from '@twinwatch/core/runtime';
import { EXCEPTION, exceptionFrame, isAllowedCount, type ReadRequest, readFrame } from './modbus-frames.js';
import { createRegisterBank, type RegisterBank } from './register-bank.js';
import type { RowSource, ScheduledAttack } from './row-source.js';
import {
  advance,
  dueInMs,
  forgetReads,
  isPlcRead,
  type Pace,
  recordRead,
  type StepperState,
  startStepper,
} from './stepper.js';

/** A reader that asks a PLC again for what it has is answered at the next row, or after this long: it need not spin. */
const LONGEST_HOLD_MS = 50;

export type SiteEvent =
  | {
      readonly kind: 'attack';
      readonly site: string;
      readonly name: string;
      readonly state: 'started' | 'ended';
      readonly atMs: number;
      readonly row: number;
    }
  | { readonly kind: 'feed-finished'; readonly site: string; readonly rows: number };

export interface SiteOptions {
  readonly name: string;
  readonly source: RowSource;
  /** PLC → its register map. */
  readonly templates: ReadonlyMap<string, DeviceTemplate>;
  readonly readerUnit: number;
  readonly pace: Pace;
  /** Where a site that was stopped goes on: rows it had served, and attacks asked for while it ran. */
  readonly resume: { readonly rows: number; readonly attacks: readonly ScheduledAttack[] };
  readonly clock: Clock;
  readonly timers: Timers;
  emit(event: SiteEvent): void;
}

interface Plc {
  readonly bank: RegisterBank;
  /** Index in the source's tags of each tag of the template. */
  readonly columns: readonly number[];
}

/** One site: its rows, the registers of its PLCs, and when it goes on. Sockets are elsewhere. */
export class Site {
  readonly #options: SiteOptions;
  readonly #plcs: ReadonlyMap<string, Plc>;
  /** PLC → the connection that is its designated reader: the first with the reader's unit, until it closes. Others only look. */
  readonly #readers = new Map<string, object>();
  readonly #waiting = new Set<() => void>();
  #stepper: StepperState;
  #timeMs = 0;
  #attack: string | null = null;
  #attacks: ScheduledAttack[] = [];
  #finished = false;
  #cancelAdvance: (() => void) | null = null;

  /** @throws TwinwatchError PLANT_TAG_UNSERVED where a template's tag is not in the source. */
  constructor(options: SiteOptions) {
    this.#options = options;
    this.#plcs = new Map([...options.templates].map(([plc, template]) => [plc, plcOf(options, plc, template)]));
    const spans = [...this.#plcs].map(([plc, { bank }]) => [plc, { tags: bank.tags, clock: bank.clock }] as const);
    this.#stepper = startStepper(new Map(spans), 0, options.clock.monotonic());
  }

  get position(): { rows: number; timeMs: number; attacks: readonly ScheduledAttack[]; attack: string | null } {
    return { rows: this.#stepper.rows, timeMs: this.#timeMs, attacks: this.#attacks, attack: this.#attack };
  }

  /** Goes to the row it had been at, or to the first. Runs the source that far: same seed and attacks, same rows. */
  start(): void {
    const { resume } = this.#options;
    for (const attack of resume.attacks) this.#schedule(attack);
    const rows = Math.max(1, resume.rows);
    for (let i = 0; i < rows && !this.#finished; i++) this.#step(i === rows - 1);
  }

  stop(): void {
    // A read may still be on its way to an answer; it must not step what is closed.
    this.#finished = true;
    this.#cancelAdvance?.();
    this.#cancelAdvance = null;
    this.#wakeAll();
    this.#options.source.close();
  }

  /** Starts an attack of the catalogue with the next row; once, where it is asked for again before that row. @throws TwinwatchError PLANT_UNKNOWN_ATTACK */
  startAttack(name: string): void {
    if (this.#attacks.some((attack) => attack.name === name && attack.startMs > this.#timeMs)) return;
    this.#schedule({ name, startMs: this.#timeMs + 1 });
  }

  async answer(plc: string, request: ReadRequest, connection: object): Promise<Buffer> {
    if (request.table === null) return exceptionFrame(request, EXCEPTION.illegalFunction);
    if (!isAllowedCount(request)) return exceptionFrame(request, EXCEPTION.illegalValue);
    const span = { table: request.table, address: request.address, count: request.count };
    const isReader = request.unit === this.#options.readerUnit && this.#isReader(plc, connection);
    if (isReader && isPlcRead(this.#stepper, plc)) await this.#nextRow();
    const words = this.#plcs.get(plc)?.bank.read(span);
    if (words === null || words === undefined) return exceptionFrame(request, EXCEPTION.illegalAddress);
    const answer = readFrame(request, words);
    if (isReader) {
      this.#stepper = recordRead(this.#stepper, plc, span);
      this.#considerAdvance();
    }
    return answer;
  }

  connectionClosed(plc: string, connection: object): void {
    if (this.#readers.get(plc) !== connection) return;
    this.#readers.delete(plc);
    this.#stepper = forgetReads(this.#stepper, plc);
  }

  #isReader(plc: string, connection: object): boolean {
    if (!this.#readers.has(plc)) this.#readers.set(plc, connection);
    return this.#readers.get(plc) === connection;
  }

  #schedule(attack: ScheduledAttack): void {
    this.#options.source.schedule(attack);
    this.#attacks = [...this.#attacks, attack];
  }

  #considerAdvance(): void {
    if (this.#finished || this.#cancelAdvance !== null) return;
    const due = dueInMs(this.#stepper, this.#options.pace, this.#options.clock.monotonic());
    if (due === null) return;
    if (due === 0) this.#advance();
    else
      this.#cancelAdvance = this.#options.timers.after('next row', due, () => {
        this.#cancelAdvance = null;
        // A reader may have gone meanwhile and taken its reads with it.
        this.#considerAdvance();
      });
  }

  #advance(): void {
    this.#step(true);
    this.#wakeAll();
  }

  #step(show: boolean): void {
    const { source, name, emit, clock } = this.#options;
    const row = source.next();
    if (row === null) {
      this.#finished = true;
      emit({ kind: 'feed-finished', site: name, rows: this.#stepper.rows });
      return;
    }
    this.#stepper = advance(this.#stepper, clock.monotonic(), this.#options.pace);
    this.#timeMs = row.timeMs;
    const sequence = this.#stepper.rows;
    for (const { bank, columns } of this.#plcs.values())
      bank.write(
        columns.map((column) => row.values[column]!),
        sequence,
        row.timeMs,
      );
    this.#tellAttack(row.attack, row.timeMs, sequence, show);
  }

  #tellAttack(attack: string | null, atMs: number, row: number, show: boolean): void {
    const { name: site, emit } = this.#options;
    const before = this.#attack;
    this.#attack = attack;
    if (!show || attack === before) return;
    if (before !== null) emit({ kind: 'attack', site, name: before, state: 'ended', atMs, row });
    if (attack !== null) emit({ kind: 'attack', site, name: attack, state: 'started', atMs, row });
  }

  #nextRow(): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        cancel();
        this.#waiting.delete(wake);
        resolve();
      };
      const cancel = this.#options.timers.after('hold a read', LONGEST_HOLD_MS, wake);
      this.#waiting.add(wake);
    });
  }

  #wakeAll(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}

function plcOf(options: SiteOptions, plc: string, template: DeviceTemplate): Plc {
  const known = options.source.tagNames;
  const columns = template.tags.map(({ name }) => known.indexOf(name));
  const missing = template.tags.filter((_, i) => columns[i] === -1).map(({ name }) => name);
  if (missing.length > 0)
    throw new TwinwatchError(
      'PLANT_TAG_UNSERVED',
      `${options.name} ${plc}: the template has ${missing.join(', ')}, which the plant or feed does not; it has ${known.join(', ')}`,
      { context: { plc, missing } },
    );
  return { bank: createRegisterBank(template), columns };
}
