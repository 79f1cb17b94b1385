import { Worker } from 'node:worker_threads';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { Logger, Timers } from '@twinwatch/core/runtime';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import type { StoreOptions, StoreStats, StoreWrite } from './agent-database.js';
import { type DirectoryLock, lockDirectory } from './directory-lock.js';
import type { CallArguments, CallResult, FromWorker, StoreCall, StoreWork, ToWorker } from './store-messages.js';

export interface StoreRuntime {
  readonly timers: Timers;
  readonly log: Logger;
  /** Rows that may wait for a slow disk; then the oldest waiting ones are dropped and counted. */
  readonly maximumQueuedRows: number;
  /** The same bound in bytes of their values; 32 MB without it. */
  readonly maximumQueuedBytes?: number;
  /** Who opens it, for the message that another one gets; 'another agent' without it. */
  readonly owner?: string;
}

interface Queued {
  readonly work: StoreWork;
  readonly resolve?: (value: unknown) => void;
  readonly reject?: (error: Error) => void;
}

const BATCH = 256;
const RETRY_MS = 1_000;
/** A batch that the disk has not taken after so long: it is told, and nobody waits for it any more who can do without. */
const SLOW_MS = 2_000;
const QUEUED_ROW_BYTES = 32 * 1024 * 1024;
/** Calls that change rows or what is said of them. */
const CHANGES: ReadonlySet<StoreCall> = new Set(['decide', 'importRows']);
const NO_STATS: StoreStats = {
  ...{ rows: 0, outboxEvents: 0, damagedFiles: 0, evictedRows: 0, evictedEvents: 0 },
  isDiskTight: false,
};

/**
 * The agent's memory, in a worker thread. `write` returns at once, whatever the disk does: acquisition never waits. What is asked is answered
 * after everything written before. While the disk is slow, or refuses what is written, that waits in memory: the newest rows, and apart from them as
 * many alarm events as the disk would keep; what does not fit goes oldest first, and is counted. What is asked then is answered from what the disk holds.
 */
export class Store {
  /** Rows that a slow or full disk cost. */
  droppedRows = 0;
  /** Alarm events that it cost. */
  droppedEvents = 0;
  readonly #runtime: StoreRuntime;
  readonly #options: StoreOptions;
  #worker: Worker | null = null;
  #queue: Queued[] = [];
  #underWay: Queued[] = [];
  #queuedRows = 0;
  #queuedBytes = 0;
  #queuedEvents = 0;
  /** Whether the batch under way has been so for long, and what is called once it has. */
  #isSlow = false;
  readonly #impatient = new Set<() => void>();
  #cancelSlow: () => void = () => undefined;
  #stats: StoreStats = NO_STATS;
  #closing: Promise<void> | null = null;
  #refused: string | null = null;
  #whenIdle: () => void = () => undefined;
  #waitingToRetry = false;
  #isPumpDue = false;
  #revision = 0;

  readonly #lock: DirectoryLock;

  /** @throws TwinwatchError STORE_FAILED where the database cannot be opened, STORE_LOCKED where somebody else has it open. */
  static async open(options: StoreOptions, runtime: StoreRuntime): Promise<Store> {
    const lock = lockDirectory(options.directory, runtime.owner ?? 'another agent');
    const store = new Store(options, runtime, lock);
    try {
      await store.#start();
    } catch (error) {
      lock.release();
      throw error;
    }
    return store;
  }

  private constructor(options: StoreOptions, runtime: StoreRuntime, lock: DirectoryLock) {
    this.#options = options;
    this.#runtime = runtime;
    this.#lock = lock;
  }

  write(write: StoreWrite): void {
    if (this.#closing !== null) return;
    const queued: Queued = { work: { kind: 'write', write } };
    if (write.op === 'row' || write.op === 'alarm') this.#revision++;
    this.#queue.push(queued);
    this.#account(queued, 1);
    this.#keepBounds();
    this.#pumpSoon();
  }

  /** Rises with everything that may change which rows are learned from, and as what: rows, alarms, decisions. */
  get revision(): number {
    return this.#revision;
  }

  /** Those that wait, and those that are being written. */
  get unwrittenRows(): number {
    return (
      this.#queuedRows + this.#underWay.filter(({ work }) => work.kind === 'write' && work.write.op === 'row').length
    );
  }

  /** Why the disk does not take what is written, null while it does. */
  get refused(): string | null {
    return this.#refused;
  }

  /** Whether the disk has not answered for seconds. */
  get slow(): boolean {
    return this.#isSlow;
  }

  /** As they are; as they were last, while the disk does not answer. @throws TwinwatchError STORE_FAILED, STORE_CLOSED. */
  async stats(): Promise<StoreStats> {
    const stats = await this.#unlessSlow(() => this.call('stats'));
    if (stats !== null) this.#stats = stats;
    return this.#stats;
  }

  /**
   * The oldest alarm events that wait for their receipt, those that the disk does not take among them; those alone, while it does not answer.
   * @throws TwinwatchError STORE_FAILED, STORE_CLOSED.
   */
  async outbox(limit: number): Promise<readonly AlarmEvent[]> {
    const inMemory = this.#refused !== null || this.#isSlow;
    const before = inMemory ? this.#waitingAlarms() : { events: [], received: new Set<string>() };
    const stored = await this.#unlessSlow(() => this.call('outbox', limit + before.received.size));
    const waiting = stored === null ? this.#waitingAlarms() : before;
    const known = new Set((stored ?? []).map(({ eventId }) => eventId));
    return [...(stored ?? []), ...waiting.events.filter(({ eventId }) => !known.has(eventId))]
      .filter(({ eventId }) => !waiting.received.has(eventId))
      .slice(0, limit);
  }

  /** Null where the disk does not answer, or stops to while it is waited for. */
  #unlessSlow<T>(ask: () => Promise<T>): Promise<T | null> {
    if (this.#isSlow) return Promise.resolve(null);
    return new Promise((resolve, reject) => {
      const giveUp = () => resolve(null);
      this.#impatient.add(giveUp);
      void ask()
        .then(resolve, reject)
        .finally(() => this.#impatient.delete(giveUp));
    });
  }

  #waitingAlarms(): { events: AlarmEvent[]; received: ReadonlySet<string> } {
    const writes = [...this.#underWay, ...this.#queue].flatMap(({ work }) =>
      work.kind === 'write' ? [work.write] : [],
    );
    return {
      events: writes.flatMap((write) => (write.op === 'alarm' ? [write.event] : [])),
      received: new Set(writes.flatMap((write) => (write.op === 'received' ? write.eventIds : []))),
    };
  }

  /** @throws TwinwatchError STORE_FAILED, STORE_CLOSED. */
  call<K extends StoreCall>(call: K, ...values: CallArguments<K>): Promise<CallResult<K>> {
    if (this.#closing !== null)
      return Promise.reject(new TwinwatchError('STORE_CLOSED', `${call}: the store is closed`));
    if (CHANGES.has(call)) this.#revision++;
    return new Promise<CallResult<K>>((resolve, reject) => {
      this.#queue.push({
        work: { kind: 'call', call, arguments: values },
        resolve: resolve as (value: unknown) => void,
        reject,
      });
      this.#pumpSoon();
    });
  }

  /** Writes what is queued, then closes the files. What the disk does not take is lost. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#queue.length + this.#underWay.length > 0)
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
        this.#pump();
      });
    const worker = this.#worker;
    this.#worker = null;
    if (worker !== null) {
      const ended = new Promise((resolve) => worker.once('exit', resolve));
      worker.postMessage({ kind: 'close' } satisfies ToWorker);
      await ended;
    }
    this.#lock.release();
  }

  async #start(): Promise<void> {
    const worker = new Worker(new URL('./store-worker.js', import.meta.url), { workerData: this.#options });
    await new Promise<void>((resolve, reject) => {
      worker.on('error', (error) => {
        this.#runtime.log.error({ error: error.message }, 'the store failed');
        reject(new TwinwatchError('STORE_FAILED', error.message, { cause: error }));
      });
      worker.on('message', (message: FromWorker) => {
        if (message.kind === 'opened') resolve();
        else this.#onMessage(message);
      });
      worker.on('exit', () => this.#onExit(worker));
    });
    this.#worker = worker;
    this.#pump();
  }

  #onMessage(message: FromWorker): void {
    switch (message.kind) {
      case 'opened':
        break;
      case 'told':
        this.#runtime.log.warn({}, message.message);
        break;
      case 'done': {
        this.#answered();
        const calls = this.#underWay.filter((item) => item.work.kind === 'call');
        const writes = this.#underWay.filter((item) => item.work.kind === 'write');
        this.#underWay = writes.slice(message.written);
        if (message.refused !== null) this.#onRefused(message.refused);
        else if (writes.length > 0 && this.#refused !== null) {
          this.#refused = null;
          this.#revision++;
          this.#runtime.log.info({ droppedRows: this.droppedRows }, 'the disk takes what is written again');
        }
        this.#putBack();
        for (const [i, outcome] of message.outcomes.entries()) {
          if ('error' in outcome) calls[i]?.reject?.(new TwinwatchError('STORE_FAILED', outcome.error));
          else calls[i]?.resolve?.(outcome.value);
        }
        this.#pump();
        break;
      }
    }
  }

  #onRefused(why: string): void {
    if (this.#refused === null)
      this.#runtime.log.error({ error: why }, 'writing failed; it is tried until it succeeds');
    this.#refused = why;
    // Who stops an agent with a full disk cannot wait for room.
    if (this.#closing !== null) this.#whenIdle();
    this.#retryLater(() => this.#pump());
  }

  /** Every write may be done twice without harm, so an unfinished batch is simply done again. */
  #putBack(): void {
    for (const queued of this.#underWay) this.#account(queued, 1);
    this.#queue = [...this.#underWay, ...this.#queue];
    this.#underWay = [];
    this.#keepBounds();
  }

  #onSlow(): void {
    this.#isSlow = true;
    for (const giveUp of this.#impatient) giveUp();
    if (this.#refused === null)
      this.#runtime.log.warn(
        { seconds: SLOW_MS / 1_000 },
        'the disk does not answer; the newest rows and alarms are kept in memory until it does',
      );
  }

  #answered(): void {
    this.#cancelSlow();
    if (!this.#isSlow) return;
    this.#isSlow = false;
    if (this.#refused === null) this.#runtime.log.info({ droppedRows: this.droppedRows }, 'the disk answers again');
  }

  #onExit(worker: Worker): void {
    if (this.#worker !== worker) return;
    this.#worker = null;
    this.#answered();
    this.#putBack();
    this.#startLater();
  }

  #startLater(): void {
    const failed = (error: Error) => {
      this.#runtime.log.error({ error: error.message }, 'no store');
      this.#startLater();
    };
    this.#retryLater(() => void this.#start().catch(failed));
  }

  #retryLater(again: () => void): void {
    if (this.#waitingToRetry) return;
    this.#waitingToRetry = true;
    this.#runtime.timers.after('store-retry', RETRY_MS, () => {
      this.#waitingToRetry = false;
      again();
    });
  }

  /** What is written and asked in one turn goes to the thread together: to wake it takes longer than most of what it does. */
  #pumpSoon(): void {
    if (this.#isPumpDue) return;
    this.#isPumpDue = true;
    queueMicrotask(() => {
      this.#isPumpDue = false;
      this.#pump();
    });
  }

  #pump(): void {
    if (this.#underWay.length === 0 && this.#queue.length === 0) this.#whenIdle();
    if (this.#worker === null || this.#underWay.length > 0) return;
    this.#underWay = this.#next();
    if (this.#underWay.length === 0) return;
    for (const queued of this.#underWay) this.#account(queued, -1);
    this.#cancelSlow = this.#runtime.timers.after('store-slow', SLOW_MS, () => this.#onSlow());
    this.#worker.postMessage({ kind: 'batch', work: this.#underWay.map(({ work }) => work) } satisfies ToWorker);
  }

  /** In order; while the disk refuses, what is asked does not wait for what is written. */
  #next(): Queued[] {
    if (this.#refused === null) return this.#waitingToRetry ? [] : this.#queue.splice(0, BATCH);
    const isCall = ({ work }: Queued) => work.kind === 'call';
    const calls = this.#queue.filter(isCall);
    const writes = this.#queue.filter((item) => !isCall(item));
    const tried = this.#waitingToRetry ? [] : writes.splice(0, BATCH);
    this.#queue = writes;
    return [...tried, ...calls];
  }

  /** What the queue holds of what is bounded, as something comes or goes. */
  #account({ work }: Queued, sign: 1 | -1): void {
    if (work.kind !== 'write') return;
    if (work.write.op === 'row') {
      this.#queuedRows += sign;
      this.#queuedBytes += sign * work.write.values.byteLength;
    } else if (work.write.op === 'alarm') this.#queuedEvents += sign;
  }

  #keepBounds(): void {
    const { maximumQueuedRows, maximumQueuedBytes = QUEUED_ROW_BYTES } = this.#runtime;
    while (this.#queuedRows > maximumQueuedRows || (this.#queuedRows > 1 && this.#queuedBytes > maximumQueuedBytes))
      this.droppedRows += this.#dropOldest('row');
    while (this.#queuedEvents > this.#options.maximumOutboxEvents) this.droppedEvents += this.#dropOldest('alarm');
  }

  #dropOldest(op: 'row' | 'alarm'): 1 {
    const at = this.#queue.findIndex(({ work }) => work.kind === 'write' && work.write.op === op);
    const [dropped] = this.#queue.splice(at, 1);
    if (dropped !== undefined) this.#account(dropped, -1);
    return 1;
  }
}
