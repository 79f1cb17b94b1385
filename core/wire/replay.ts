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

/** @param what comes in one order: a channel, or calibrations in chunks. */
export function floorKey(keyId: string, what: Channel | 'calibration'): string {
  return `${keyId} ${what}`;
}

export function freshness(floor: Floor | undefined, sequence: number): Freshness {
  if (floor === undefined || sequence > floor.sequence) return 'fresh';
  return sequence === floor.sequence ? 'newest' : 'replayed';
}

/**
 * Where a status stands among those of its sender. A last will is written when its connection is dialled and published when that has ended, maybe
 * by a broker that was away: so an end is numbered below what is said in the meantime, and comes after it.
 */
export interface StatusPlace {
  /** As of an envelope; that of a last will is the connection's. */
  readonly sequence: number;
  /** Drawn from the same sequence when the connection was dialled. */
  readonly connectionSequence: number;
}

interface StatusFloor {
  /** `sequence` of the newest connection that was heard of. */
  readonly connection: Floor;
  /** Of the newest that was said over it; ENDED once it is over. */
  readonly said: Floor;
}

const ENDED = Number.MAX_SAFE_INTEGER;

/** Of one key, for a status; the second is kept beside the first. */
export function statusFloorKeys(keyId: string, channel: 'status' | 'serverStatus'): readonly [string, string] {
  return [`${keyId} ${channel}`, `${keyId} ${channel} said`];
}

/** @returns how new it is, and the floor with it. A status of a connection that has ended counts no more, nor does one of any before. */
export function statusFreshness(
  floor: StatusFloor | null,
  { online, sequence, connectionSequence }: StatusPlace & { readonly online: boolean },
  nowMs: number,
): { readonly found: Freshness; readonly floor: StatusFloor } {
  const said = online ? sequence : ENDED;
  const next = {
    connection: { sequence: connectionSequence, sentAtMs: nowMs },
    said: { sequence: said, sentAtMs: nowMs },
  };
  if (floor === null) return { found: 'fresh', floor: next };
  const found = freshness(floor.connection, connectionSequence);
  const within = found === 'newest' ? freshness(floor.said, said) : found;
  return { found: within, floor: within === 'fresh' ? next : floor };
}

/** Places for what one sender says of itself, connection by connection. @param next its sequence. */
export function statusPlaces(next: () => number): (connectionId: string, online: boolean) => StatusPlace {
  let known: { readonly connectionId: string; readonly sequence: number } | null = null;
  return (connectionId, online) => {
    if (known?.connectionId !== connectionId) known = { connectionId, sequence: next() };
    return { sequence: online ? next() : known.sequence, connectionSequence: known.sequence };
  };
}

/** Between two times that a sender's sequence is written down; a process that ends leaves out what is left of it. */
const RESERVED = 1_000_000;

/**
 * A sequence that rises over restarts, also where the wall clock was set back or is not set at all.
 * @param kept what `keep` was told last, null before the first. @param keep writes down where a next process begins.
 */
export function risingSequence(kept: number | null, nowMs: number, keep: (next: number) => void): () => number {
  let next = Math.max(kept ?? 0, Math.floor(nowMs * 1_000));
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
