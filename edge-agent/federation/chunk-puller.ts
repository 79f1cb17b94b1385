import type { Clock } from '@twinwatch/core/runtime';
import { UNASKED_CHUNKS } from '@twinwatch/core/wire/chunks';
import type { ArrivedChunk, IncompleteTransfer } from '@twinwatch/core/wire/reassembly';

/**
 * Which chunks of a download to ask for next. The agent paces what comes down, as only it knows its line: what a broker has been handed lies
 * before every receipt, command and acknowledgement. So few chunks are asked for at a time, more where they come quickly.
 */

const FIRST_WINDOW = 4;
const LARGEST_WINDOW = 64;
/** A window that was whole within this was small for the line; one that took longer than the other was large. */
const QUICK_MS = 300;
const SLOW_MS = 1_500;
/** Downloads that are remembered: parameters, a model, a lineage, rows. */
const KEPT = 8;

interface Pull {
  readonly received: Set<number>;
  /** Asked for, or sent unasked, and not here yet. */
  readonly awaited: Set<number>;
  askedAtMs: number;
}

export class ChunkPuller {
  readonly #clock: Clock;
  readonly #pulls = new Map<string, Pull>();
  #window = FIRST_WINDOW;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @returns the indices to ask for now; none while some are on their way. */
  arrived({ transfer, index, total }: ArrivedChunk): readonly number[] {
    const pull = this.#pulls.get(transfer) ?? this.#open(transfer, total);
    pull.received.add(index);
    pull.awaited.delete(index);
    if (pull.awaited.size > 0) return [];
    const tookMs = this.#clock.monotonic() - pull.askedAtMs;
    if (tookMs < QUICK_MS) this.#window = Math.min(LARGEST_WINDOW, this.#window * 2);
    else if (tookMs > SLOW_MS) this.#window = Math.max(1, Math.floor(this.#window / 2));
    const missing = Array.from({ length: total }, (_, at) => at).filter((at) => !pull.received.has(at));
    return this.#ask(pull, missing);
  }

  /** Nothing has come for a while: the first window of what is missing again. */
  stalled({ transfer, total, missing }: IncompleteTransfer): readonly number[] {
    const pull = this.#pulls.get(transfer) ?? this.#open(transfer, total);
    const isMissing = new Set(missing);
    pull.received.clear();
    for (let at = 0; at < total; at++) if (!isMissing.has(at)) pull.received.add(at);
    return this.#ask(pull, missing);
  }

  complete(transfer: string): void {
    this.#pulls.delete(transfer);
  }

  #ask(pull: Pull, missing: readonly number[]): readonly number[] {
    const asked = missing.slice(0, this.#window);
    pull.awaited.clear();
    for (const at of asked) pull.awaited.add(at);
    pull.askedAtMs = this.#clock.monotonic();
    return asked;
  }

  #open(transfer: string, total: number): Pull {
    const awaited = new Set(Array.from({ length: Math.min(UNASKED_CHUNKS, total) }, (_, at) => at));
    const pull = { received: new Set<number>(), awaited, askedAtMs: this.#clock.monotonic() };
    this.#pulls.set(transfer, pull);
    for (const oldest of this.#pulls.keys()) {
      if (this.#pulls.size <= KEPT) break;
      this.#pulls.delete(oldest);
    }
    return pull;
  }
}
