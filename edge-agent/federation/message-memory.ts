import type { Clock, Logger, Timers } from '@twinwatch/core/runtime';
import { type Floor, type Floors, risingSequence } from '@twinwatch/core/wire/replay';
import type { Store } from '../store/store.js';

const FLOORS = 'message-floors';
const SEQUENCE = 'message-sequence';
/** A process that is killed forgets as much of what it was sent; whatever it handles then, it handles once. */
const KEEP_AFTER_MS = 1_000;

/** How far the messages of both directions have come, over restarts. */
export class MessageMemory {
  readonly #options: {
    readonly store: Store;
    readonly clock: Clock;
    readonly timers: Timers;
    readonly log: Logger;
  };
  #floors: Record<string, Floor> = {};
  #next: (() => number) | null = null;
  #cancel: (() => void) | null = null;

  constructor(options: { store: Store; clock: Clock; timers: Timers; log: Logger }) {
    this.#options = options;
  }

  /** What was kept; a damaged memory is begun anew, and told. */
  async restore(): Promise<Floors> {
    const { store, clock, log } = this.#options;
    const text = async (key: string) => {
      const kept = await store.call('state', key);
      return kept === null ? null : Buffer.from(kept).toString('utf8');
    };
    const [floors, sequence] = await Promise.all([text(FLOORS), text(SEQUENCE)]);
    try {
      this.#floors = floors === null ? {} : (JSON.parse(floors) as Record<string, Floor>);
    } catch (error) {
      log.error({ error: String(error) }, 'what was kept of the messages taken so far cannot be read');
    }
    const before = Number(sequence ?? Number.NaN);
    this.#next = risingSequence(Number.isSafeInteger(before) ? before : null, clock.now(), (next) =>
      store.write({ op: 'state', key: SEQUENCE, value: String(next) }),
    );
    return this.#floors;
  }

  /** @throws before restore: a sequence that does not know where it was could begin below it. */
  nextSequence(): number {
    if (this.#next === null) throw new Error('the sequence is asked for before it is restored');
    return this.#next();
  }

  raise(key: string, floor: Floor): void {
    this.#floors[key] = floor;
    this.#cancel ??= this.#options.timers.after('message-floors', KEEP_AFTER_MS, () => this.flush());
  }

  flush(): void {
    if (this.#cancel === null) return;
    this.#cancel();
    this.#cancel = null;
    this.#options.store.write({ op: 'state', key: FLOORS, value: JSON.stringify(this.#floors) });
  }
}
