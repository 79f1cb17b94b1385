import { Worker } from 'node:worker_threads';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { Logger, Timers } from '@twinwatch/core/runtime';
import type { AlarmEvent } from '@twinwatch/core/wire/messages';
import type { StoreOptions, StoreWrite } from './agent-database.js';
import { type DirectoryLock, lockDirectory } from './directory-lock.js';
import type { CallArguments, CallResult, FromWorker, StoreCall, StoreWork, ToWorker } from './store-messages.js';

export interface StoreRuntime {
  readonly timers: Timers;
  readonly log: Logger;
  /** Rows that may wait for a slow disk; then the oldest waiting ones are dropped and counted. */
  readonly maximumQueuedRows: number;
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

/**
 * The agent's memory, in a worker thread. `write` returns at once, whatever the disk does: acquisition never waits. What is asked is answered
 * after everything written before. Alarms, labels and receipts are never dropped from the queue; rows are, oldest first. While the disk refuses
 * what is written, it waits in memory within these bounds, and what is asked is answered from what the disk holds.
 */
export class Store {
  /** Rows that a slow or full disk cost. */
  droppedRows = 0;
  readonly #runtime: StoreRuntime;
  readonly #options: StoreOptions;
  #worker: Worker | null = null;
  #queue: Queued[] = [];
  #underWay: Queued[] = [];
  #queuedRows = 0;
  #closing: Promise<void> | null = null;
  #refused: string | null = null;
  #whenIdle: () => void = () => undefined;
  #waitingToRetry = false;

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
    if (write.op === 'row' && ++this.#queuedRows > this.#runtime.maximumQueuedRows) this.#dropOldestRow();
    this.#queue.push({ work: { kind: 'write', write } });
    this.#pump();
  }

  /** Why the disk does not take what is written, null while it does. */
  get refused(): string | null {
    return this.#refused;
  }

  /**
   * The oldest alarm events that wait for their receipt, those that the disk does not take among them.
   * @throws TwinwatchError STORE_FAILED, STORE_CLOSED.
   */
  async outbox(limit: number): Promise<readonly AlarmEvent[]> {
    const waiting = this.#refused === null ? { events: [], received: new Set<string>() } : this.#waitingAlarms();
    const stored = await this.call('outbox', limit + waiting.received.size);
    const known = new Set(stored.map(({ eventId }) => eventId));
    return [...stored, ...waiting.events.filter(({ eventId }) => !known.has(eventId))]
      .filter(({ eventId }) => !waiting.received.has(eventId))
      .slice(0, limit);
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
    return new Promise<CallResult<K>>((resolve, reject) => {
      this.#queue.push({
        work: { kind: 'call', call, arguments: values },
        resolve: resolve as (value: unknown) => void,
        reject,
      });
      this.#pump();
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
        const calls = this.#underWay.filter((item) => item.work.kind === 'call');
        const writes = this.#underWay.filter((item) => item.work.kind === 'write');
        this.#underWay = writes.slice(message.written);
        if (message.refused !== null) this.#onRefused(message.refused);
        else if (writes.length > 0 && this.#refused !== null) {
          this.#refused = null;
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
    this.#queue = [...this.#underWay, ...this.#queue];
    this.#underWay = [];
    this.#queuedRows = this.#queue.filter(({ work }) => work.kind === 'write' && work.write.op === 'row').length;
    while (this.#queuedRows > this.#runtime.maximumQueuedRows) this.#dropOldestRow();
  }

  #onExit(worker: Worker): void {
    if (this.#worker !== worker) return;
    this.#worker = null;
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

  #pump(): void {
    if (this.#underWay.length === 0 && this.#queue.length === 0) this.#whenIdle();
    if (this.#worker === null || this.#underWay.length > 0) return;
    this.#underWay = this.#next();
    if (this.#underWay.length === 0) return;
    for (const { work } of this.#underWay) if (work.kind === 'write' && work.write.op === 'row') this.#queuedRows--;
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

  #dropOldestRow(): void {
    const at = this.#queue.findIndex(({ work }) => work.kind === 'write' && work.write.op === 'row');
    if (at < 0) return;
    this.#queue.splice(at, 1);
    this.#queuedRows--;
    this.droppedRows++;
  }
}
