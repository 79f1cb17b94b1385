/** Which message is handed to the connection next: alarms before everything, chunks last and one at a time. */

export type Lane = 'alarm' | 'normal' | 'chunk';

export interface LaneLimit {
  /** Handed over and not acknowledged yet. */
  readonly inFlight: number;
  /** Waiting for their turn; beyond that the caller is told and keeps its own. */
  readonly waiting: number;
}

/** In order of urgency. */
const LANES: readonly Lane[] = ['alarm', 'normal', 'chunk'];

/**
 * What is in flight lies in the socket's buffer before an alarm, so little of it may be: a few small messages, one chunk.
 * Waiting chunks are bounded by the transfers under way, each of which offers one at a time.
 */
export const DEFAULT_LANE_LIMITS: Readonly<Record<Lane, LaneLimit>> = {
  alarm: { inFlight: 64, waiting: 4096 },
  normal: { inFlight: 8, waiting: 1024 },
  chunk: { inFlight: 1, waiting: 1024 },
};

export class SendQueue<T> {
  readonly #limits: Readonly<Record<Lane, LaneLimit>>;
  readonly #waiting: Record<Lane, T[]> = { alarm: [], normal: [], chunk: [] };
  readonly #inFlight: Record<Lane, number> = { alarm: 0, normal: 0, chunk: 0 };

  constructor(limits: Readonly<Record<Lane, LaneLimit>> = DEFAULT_LANE_LIMITS) {
    this.#limits = limits;
  }

  /** False when the lane is full; the item was not taken. */
  offer(lane: Lane, item: T): boolean {
    if (this.#waiting[lane].length >= this.#limits[lane].waiting) return false;
    this.#waiting[lane].push(item);
    return true;
  }

  /** The most urgent item whose lane has room, now counted as in flight; null when there is none. */
  take(): { readonly lane: Lane; readonly item: T } | null {
    for (const lane of LANES) {
      if (this.#inFlight[lane] >= this.#limits[lane].inFlight) continue;
      const item = this.#waiting[lane].shift();
      if (item === undefined) continue;
      this.#inFlight[lane]++;
      return { lane, item };
    }
    return null;
  }

  /** An item taken from this lane was acknowledged or given up. */
  release(lane: Lane): void {
    this.#inFlight[lane]--;
  }

  /** Empties the lanes, and counts nothing as in flight any more; returns what was waiting. */
  clear(): T[] {
    const items = LANES.flatMap((lane) => this.#waiting[lane].splice(0));
    for (const lane of LANES) this.#inFlight[lane] = 0;
    return items;
  }
}
