/** Which message is handed to the connection next: alarms before everything, chunks last and one at a time. */

/** `replay`: what waited for the other end while it was away, and is no news any more. */
export type Lane = 'alarm' | 'normal' | 'replay' | 'chunk';

export interface LaneLimit {
  /** Handed over and not acknowledged yet. */
  readonly inFlight: number;
  /** Waiting for their turn; beyond that the caller is told and keeps its own. */
  readonly waiting: number;
}

/** In order of urgency. */
const LANES: readonly Lane[] = ['alarm', 'normal', 'replay', 'chunk'];

/** Waiting chunks are bounded by the transfers under way, each of which offers one at a time. */
export const DEFAULT_LANE_LIMITS: Readonly<Record<Lane, LaneLimit>> = {
  alarm: { inFlight: 64, waiting: 4096 },
  normal: { inFlight: 8, waiting: 1024 },
  replay: { inFlight: 8, waiting: 64 },
  chunk: { inFlight: 1, waiting: 1024 },
};

/**
 * What is in flight lies in the socket's buffer, or in a router's, before an alarm: so much of it may be, alarms left out, that is one
 * chunk with its topic. Half a second at 64 kbit/s.
 */
export const DEFAULT_IN_FLIGHT_BYTES = 4_352;

export class SendQueue<T> {
  readonly #limits: Readonly<Record<Lane, LaneLimit>>;
  readonly #maximumBytes: number;
  readonly #waiting: Record<Lane, { readonly item: T; readonly bytes: number }[]> = newLanes(() => []);
  readonly #inFlight: Record<Lane, number> = newLanes(() => 0);
  #inFlightBytes = 0;

  /** @param maximumBytes in flight in all lanes but the alarms'; one message may be larger, and then is alone. */
  constructor(maximumBytes = DEFAULT_IN_FLIGHT_BYTES, limits: Readonly<Record<Lane, LaneLimit>> = DEFAULT_LANE_LIMITS) {
    this.#maximumBytes = maximumBytes;
    this.#limits = limits;
  }

  /** False when the lane is full; the item was not taken. @param bytes of the whole message. */
  offer(lane: Lane, item: T, bytes: number): boolean {
    if (this.#waiting[lane].length >= this.#limits[lane].waiting) return false;
    this.#waiting[lane].push({ item, bytes });
    return true;
  }

  /**
   * The most urgent item whose lane has room, now counted as in flight; null when there is none. What does not fit into the bytes
   * keeps less urgent, smaller things from passing it: else it might never fit.
   */
  take(): { readonly lane: Lane; readonly item: T; readonly bytes: number } | null {
    for (const lane of LANES) {
      if (this.#inFlight[lane] >= this.#limits[lane].inFlight) continue;
      const [next] = this.#waiting[lane];
      if (next === undefined) continue;
      const isFull = this.#inFlightBytes > 0 && this.#inFlightBytes + next.bytes > this.#maximumBytes;
      if (lane !== 'alarm' && isFull) return null;
      this.#waiting[lane].shift();
      this.#inFlight[lane]++;
      if (lane !== 'alarm') this.#inFlightBytes += next.bytes;
      return { lane, ...next };
    }
    return null;
  }

  /** An item taken from this lane was acknowledged or given up. */
  release(lane: Lane, bytes: number): void {
    this.#inFlight[lane]--;
    if (lane !== 'alarm') this.#inFlightBytes -= bytes;
  }

  /** Empties the lanes, and counts nothing as in flight any more; returns what was waiting. */
  clear(): T[] {
    const items = LANES.flatMap((lane) => this.#waiting[lane].splice(0).map(({ item }) => item));
    for (const lane of LANES) this.#inFlight[lane] = 0;
    this.#inFlightBytes = 0;
    return items;
  }
}

function newLanes<V>(value: () => V): Record<Lane, V> {
  return { alarm: value(), normal: value(), replay: value(), chunk: value() };
}
