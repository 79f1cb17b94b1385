import type { Clock } from '@twinwatch/core/runtime';
import { type Signer, signJson } from '@twinwatch/core/wire/signing';
import type { AgentInstance, AgentStatus } from '@twinwatch/core/wire/status';

/**
 * Two agents with one id (a card that was copied, a file that was not edited) push each other off the broker for ever. Every agent reads
 * its own status topic: what is there from another process, last wills included, after it has said itself that it is online, and over more
 * than one connection of that process, is from one that lives. The one that started later gives way.
 */

/** Connections of a rival that prove one: a single message may be the last will of an earlier life. */
const PROVING_CONNECTIONS = 2;
/** Longer than a rival that gave way stays away: while it lives, it is told. */
const TOLD_MS = 15 * 60_000;

interface Rival {
  readonly instance: AgentInstance;
  readonly connections: Set<string>;
  seenAtMs: number;
}

export class IdentityWatch {
  readonly #clock: Clock;
  readonly #own: AgentInstance;
  readonly #rivals = new Map<string, Rival>();
  #hasSaid = false;

  constructor(own: AgentInstance, clock: Clock) {
    this.#own = own;
    this.#clock = clock;
  }

  /** The broker has our "online". */
  said(): void {
    this.#hasSaid = true;
  }

  /** The rival that is proven, null for none; the one that was seen last. */
  get rival(): AgentInstance | null {
    const nowMs = this.#clock.monotonic();
    for (const [id, { seenAtMs }] of this.#rivals) if (nowMs - seenAtMs > TOLD_MS) this.#rivals.delete(id);
    const proven = [...this.#rivals.values()].filter(({ connections }) => connections.size >= PROVING_CONNECTIONS);
    return proven.sort((a, b) => b.seenAtMs - a.seenAtMs)[0]?.instance ?? null;
  }

  /** @param status from our own status topic. @returns whether to give way to whoever said it. */
  heard({ instance, connectionId }: Pick<AgentStatus, 'instance' | 'connectionId'>): boolean {
    if (instance === undefined || instance.id === this.#own.id || !this.#hasSaid) return false;
    const rival = this.#rivals.get(instance.id) ?? { instance, connections: new Set(), seenAtMs: 0 };
    this.#rivals.set(instance.id, rival);
    rival.seenAtMs = this.#clock.monotonic();
    if (rival.connections.size < PROVING_CONNECTIONS) rival.connections.add(connectionId);
    return rival.connections.size >= PROVING_CONNECTIONS && isEarlier(instance, this.#own);
  }
}

/** Both sides of a pair come to the same answer, whatever their clocks say. */
function isEarlier(a: AgentInstance, b: AgentInstance): boolean {
  return a.startedAtMs === b.startedAtMs ? a.id < b.id : a.startedAtMs < b.startedAtMs;
}

/** For the page, the log and the check. */
export function rivalWords(agent: string, { host, startedAtMs }: AgentInstance): string {
  const where = host === '' ? 'elsewhere' : `on ${host}`;
  return `another agent calls itself ${agent}, ${where}, started ${new Date(startedAtMs).toISOString()}; stop one of the two, or give it an id and a dataDir of its own`;
}

/** @param random in [0, 1). */
export function newInstanceId(random: () => number): string {
  return Array.from({ length: 4 }, () =>
    Math.floor(random() * 0x10000)
      .toString(16)
      .padStart(4, '0'),
  ).join('');
}

/** Whether a JSON message was signed with this very key; true for all where nobody signs. Ed25519 gives the same signature every time. */
export function isSignedBy(topic: string, payload: Uint8Array, signer: Signer | null): boolean {
  if (signer === null) return true;
  const text = Buffer.from(payload).toString('utf8');
  const at = text.lastIndexOf(',"signature":"');
  if (at < 0) return false;
  const signed = signJson(topic, Buffer.from(`${text.slice(0, at)}}`), signer);
  return Buffer.compare(Buffer.from(signed), Buffer.from(payload)) === 0;
}
