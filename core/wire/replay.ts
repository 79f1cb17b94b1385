import type { Channel } from './topics.js';

/**
 * Against messages that were recorded and are sent again. A sender's sequence rises with every message, over restarts as well, and MQTT keeps
 * the order of a topic; so what is not above the newest message of its key and channel has been here before, or never will be wanted.
 */

/** The newest message that was taken, of one key on one channel. */
export interface Floor {
  readonly sequence: number;
  /** Wall clock of the sender. */
  readonly sentAtMs: number;
}

/** Key id (hex), channel and topic → floor; kept over restarts. A new key begins anew: nobody has recorded anything signed with it. */
export type Floors = Readonly<Record<string, Floor>>;

/**
 * fresh: above everything before. newest: the newest one again, by a broker's second delivery (QoS 1) or by a sender that waits for a receipt:
 * taken, as whatever handles it does things once. replayed: anything older.
 */
export type Freshness = 'fresh' | 'newest' | 'replayed';

export function floorKey(keyId: string, channel: Channel): string {
  return `${keyId} ${channel}`;
}

export function freshness(floor: Floor | undefined, sequence: number): Freshness {
  if (floor === undefined || sequence > floor.sequence) return 'fresh';
  return sequence === floor.sequence ? 'newest' : 'replayed';
}

/** Between two times that a sender's sequence is written down; a process that ends leaves out what is left of it. */
const RESERVED = 1_000_000;

/**
 * A sequence that rises over restarts, also where the wall clock was set back or is not set at all.
 * @param kept what `keep` was told last, null before the first. @param keep writes down where a next process begins.
 */
export function risingSequence(kept: number | null, nowMs: number, keep: (next: number) => void): () => number {
  let next = Math.max(kept ?? 0, nowMs * 1_000);
  let reserved = next + RESERVED;
  keep(reserved);
  return () => {
    if (next >= reserved) {
      reserved = next + RESERVED;
      keep(reserved);
    }
    return next++;
  };
}
