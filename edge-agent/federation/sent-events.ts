/** What has just happened or still lasts; what waited. */
export type Priority = 'alarm' | 'replay';

interface Sent {
  /** Monotonic; infinite while the broker has not acknowledged it. */
  againMs: number;
  readonly pauseMs: number;
  readonly priority: Priority;
}

export interface Attempt {
  acknowledged(nowMs: number): void;
  /** It is as if it had not been made. */
  failed(): void;
}

const FIRST_AGAIN_MS = 5_000;
const LONGEST_AGAIN_MS = 60_000;
/** Beyond so many it is looked whether there are some that nobody asks for any more. */
const LOOK_BEYOND = 64;

/** Which events were sent and have no receipt yet, and when each may be sent again. Pure. */
export class SentEvents {
  /** In the order in which they were sent. */
  readonly #sent = new Map<string, Sent>();

  get size(): number {
    return this.#sent.size;
  }

  /** Null where it is to wait. */
  begin(eventId: string, priority: Priority, nowMs: number): Attempt | null {
    const before = this.#sent.get(eventId);
    // What still waits its turn among the rest must not come after the same alarm's news; twice is once for the server.
    const overtakes =
      priority === 'alarm' && before?.priority === 'replay' && before.againMs === Number.POSITIVE_INFINITY;
    if (before !== undefined && !overtakes && nowMs < before.againMs) return null;
    this.#forgetForgotten(nowMs);
    const pauseMs = before === undefined ? FIRST_AGAIN_MS : Math.min(LONGEST_AGAIN_MS, before.pauseMs * 2);
    const sent: Sent = { againMs: Number.POSITIVE_INFINITY, pauseMs, priority };
    this.#sent.delete(eventId);
    this.#sent.set(eventId, sent);
    return {
      acknowledged(nowMs) {
        sent.againMs = nowMs + pauseMs;
      },
      failed: () => {
        if (this.#sent.get(eventId) === sent) this.#sent.delete(eventId);
      },
    };
  }

  forget(eventId: string): void {
    this.#sent.delete(eventId);
  }

  clear(): void {
    this.#sent.clear();
  }

  /**
   * What a full outbox has given up gets no receipt, and is never asked for again; neither is what is far from its turn there. All that is
   * lost by forgetting what has been due for so long is the length of its next pause.
   */
  #forgetForgotten(nowMs: number): void {
    if (this.#sent.size < LOOK_BEYOND) return;
    for (const [eventId, { againMs }] of this.#sent) {
      if (againMs === Number.POSITIVE_INFINITY) continue;
      if (nowMs - againMs < LONGEST_AGAIN_MS) break;
      this.#sent.delete(eventId);
    }
  }
}
