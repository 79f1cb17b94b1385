import type { BrokerLimits } from '@twinwatch/core/config/broker';
import type { Clock, Logger } from '@twinwatch/core/runtime';
import type { BrokerCounters } from './counters.js';
import type { Identity } from './rights.js';
import type { SessionStore } from './session-store.js';

export interface SessionsOptions {
  readonly store: SessionStore;
  readonly limits: BrokerLimits;
  /** A session is dropped when its client was away for longer, while the broker ran. */
  readonly maximumAbsenceMs: number;
  readonly counters: BrokerCounters;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Time is in ms that the broker has run, over all its starts. */
interface Session {
  owner: string;
  seenMs: number;
  connections: number;
}

const LONGEST_LOOK_MS = 10 * 60_000;
/** A session's record is written anew so often while its client is connected: a broker that is killed says nothing about it. */
const REFRESH_MS = 3_600_000;
const HOUR_MS = 3_600_000;
/** Whose sessions are in a store without a record of them. */
const UNKNOWN_OWNER = 'unknown';

/**
 * Who has a session, for how long its client has been away, and which session goes when there are too many, or it is too old. An absence is
 * measured in time that the broker ran: neither a clock that jumps nor a broker that was off makes a session old.
 */
export class Sessions {
  readonly #options: SessionsOptions;
  readonly #sessions = new Map<string, Session>();
  /** Client id → its session's end, under way. */
  readonly #ending = new Map<string, Promise<void>>();
  #ranBeforeMs = 0;
  #startedMs = 0;
  #timer: NodeJS.Timeout | null = null;
  #isStopped = false;

  constructor(options: SessionsOptions) {
    this.#options = options;
  }

  /** Reads what there is, and drops what is too much or too old. */
  async start(): Promise<void> {
    const { store, clock, maximumAbsenceMs } = this.#options;
    const { records, strays, ranMs } = await store.records.read();
    this.#ranBeforeMs = ranMs;
    for (const { seenMs } of records.values()) this.#ranBeforeMs = Math.max(this.#ranBeforeMs, seenMs);
    this.#startedMs = clock.monotonic();
    for (const [id, record] of records) this.#sessions.set(id, { ...record, connections: 0 });
    for (const id of strays) this.#write(id, this.#open(id, UNKNOWN_OWNER));
    store.hasSession = (id) => this.#sessions.has(id);
    await this.#look();
    this.#timer = setInterval(() => void this.#look(), Math.min(LONGEST_LOOK_MS, maximumAbsenceMs / 4));
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#isStopped = true;
    await Promise.all(this.#ending.values());
    for (const [id, session] of this.#sessions) if (session.connections > 0) this.#seen(id, session);
    void this.#options.store.records.writeRanMs(this.#nowMs());
  }

  /** Sessions, those of clients that are connected included. */
  get count(): number {
    return this.#sessions.size;
  }

  /** Sessions whose clients are away. */
  get absent(): number {
    let absent = 0;
    for (const { connections } of this.#sessions.values()) if (connections === 0) absent++;
    return absent;
  }

  /**
   * To be called before a client finds its session.
   * @returns what to call when its connection is closed; null where there is no room, because everybody who has a session is connected.
   */
  async arrive(id: string, identity: Identity, isClean: boolean): Promise<(() => void) | null> {
    await this.#ending.get(id);
    if (isClean) {
      // Once more what it had asked for itself; nothing that is counted.
      if (this.#sessions.has(id)) await this.#end(id);
      return () => undefined;
    }
    const owner = ownerOf(identity);
    const room = this.#sessions.has(id) ? Promise.resolve() : this.#makeRoom(owner);
    if (room === null) return null;
    const session = this.#sessions.get(id) ?? this.#open(id, owner);
    session.owner = owner;
    session.connections++;
    this.#seen(id, session);
    await room;
    return () => {
      session.connections--;
      if (this.#sessions.get(id) === session && !this.#isStopped) this.#seen(id, session);
    };
  }

  #open(id: string, owner: string): Session {
    const session = { owner, seenMs: this.#nowMs(), connections: 0 };
    this.#sessions.set(id, session);
    return session;
  }

  #nowMs(): number {
    return Math.round(this.#ranBeforeMs + this.#options.clock.monotonic() - this.#startedMs);
  }

  #seen(id: string, session: Session): void {
    session.seenMs = this.#nowMs();
    this.#write(id, session);
  }

  #write(id: string, { owner, seenMs }: Session): void {
    void this.#options.store.records.write(id, { owner, seenMs });
  }

  /**
   * For one more of this owner's. The longest absent goes first; an agent's room is made among its own.
   * @returns when there is room on the disk, too; null where there can be none.
   */
  #makeRoom(owner: string): Promise<void> | null {
    const { limits, counters, log } = this.#options;
    const own = isAgent(owner) ? [...this.#sessions.values()].filter((session) => session.owner === owner).length : 0;
    const [most, of] =
      own >= limits.maximumSessionsPerAgent
        ? [limits.maximumSessionsPerAgent, owner]
        : [limits.maximumSessions, undefined];
    if ((of === undefined ? this.#sessions.size : own) < most) return Promise.resolve();
    const oldest = this.#longestAbsent(of);
    if (oldest === null) {
      counters.refusedSessions++;
      log.warn(
        { sessions: most, owner },
        'a session refused: there are as many as may be, and all their clients are connected',
      );
      return null;
    }
    counters.evictedSessions++;
    return this.#drop(oldest, `there are ${most} sessions${of === undefined ? '' : ` of ${of}`}, which is the limit`);
  }

  #longestAbsent(owner?: string): string | null {
    let oldest: readonly [id: string, seenMs: number] | null = null;
    for (const [id, session] of this.#sessions) {
      if (session.connections > 0 || (owner !== undefined && session.owner !== owner)) continue;
      if (oldest === null || session.seenMs < oldest[1]) oldest = [id, session.seenMs];
    }
    return oldest?.[0] ?? null;
  }

  async #look(): Promise<void> {
    const { store, limits, maximumAbsenceMs, counters } = this.#options;
    const nowMs = this.#nowMs();
    void store.records.writeRanMs(nowMs);
    for (const [id, session] of this.#sessions) {
      if (session.connections > 0) {
        if (nowMs - session.seenMs >= REFRESH_MS) this.#seen(id, session);
      } else if (nowMs - session.seenMs > maximumAbsenceMs) {
        counters.expiredSessions++;
        await this.#drop(id, 'its client has not come back for too long');
      }
    }
    // A limit that was lowered, or a store from before there was one.
    while (this.#sessions.size > limits.maximumSessions) {
      const oldest = this.#longestAbsent();
      if (oldest === null) return;
      counters.evictedSessions++;
      await this.#drop(oldest, `there are more than ${limits.maximumSessions} sessions`);
    }
  }

  async #drop(id: string, reason: string): Promise<void> {
    const { store, counters, log } = this.#options;
    const { messages, bytes } = store.queuedOf(id);
    const awayHours = Math.round((this.#nowMs() - (this.#sessions.get(id)?.seenMs ?? 0)) / HOUR_MS);
    counters.droppedWithSession += messages;
    log.warn({ client: id, awayHours, messages, bytes, reason }, 'session dropped, with what waited in it');
    await this.#end(id);
  }

  /** Whoever comes under this id meanwhile waits, and finds nothing. */
  #end(id: string): Promise<void> {
    this.#sessions.delete(id);
    const ended = this.#options.store
      .dropSession(id)
      .catch((error: unknown) => {
        this.#options.counters.storeErrors++;
        this.#options.log.error({ client: id, error: String(error) }, 'a session could not be dropped from the store');
      })
      .finally(() => this.#ending.delete(id));
    this.#ending.set(id, ended);
    return ended;
  }
}

function ownerOf(identity: Identity): string {
  if (identity.role !== 'agent') return identity.role;
  return `agent ${identity.federation === undefined ? '' : `${identity.federation}/`}${identity.agent}`;
}

function isAgent(owner: string): boolean {
  return owner.startsWith('agent ');
}
