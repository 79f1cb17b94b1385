import { encodeJson } from '@twinwatch/core/wire/json-messages';
import { signJson } from '@twinwatch/core/wire/signing';
import type { FederationContext } from './federation-context.js';

const BATCH = 64;
const FIRST_AGAIN_MS = 5_000;
const LONGEST_AGAIN_MS = 60_000;
const LOOK_MS = 1_000;

/**
 * Sends what is in the outbox, oldest first, before anything else on the link, again and again until the server says that it has
 * journalled it. A broker's acknowledgement deletes nothing.
 */
export class AlarmOutbox {
  readonly #context: FederationContext;
  /** Event id → when to send it again, monotonic ms, and how long after that. */
  readonly #sent = new Map<string, { againMs: number; pauseMs: number }>();
  /** Received, but perhaps still in a list that was read before. */
  readonly #received = new Set<string>();
  #wake: () => void = () => undefined;

  constructor(context: FederationContext) {
    this.#context = context;
  }

  /** There is something new to send. */
  poke(): void {
    this.#wake();
  }

  /** A new connection: what was sent over the last one may be lost with it. */
  reconnected(): void {
    this.#sent.clear();
    this.#wake();
  }

  received(eventIds: readonly string[]): void {
    this.#context.store.write({ op: 'received', eventIds });
    for (const eventId of eventIds) this.#received.add(eventId);
    this.#wake();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { link, log } = this.#context;
    while (!signal.aborted) {
      try {
        if (link.online) await this.#drain();
      } catch (error) {
        log.debug({ error: String(error) }, 'outbox not drained yet');
      }
      await this.#pause(signal);
    }
  }

  async #drain(): Promise<void> {
    const { store, clock, link, topics, trust } = this.#context;
    const deleted = [...this.#received];
    const events = await store.outbox(BATCH);
    for (const eventId of deleted) {
      this.#received.delete(eventId);
      this.#sent.delete(eventId);
    }
    for (const event of events) {
      if (this.#received.has(event.eventId)) continue;
      const nowMs = clock.monotonic();
      const before = this.#sent.get(event.eventId);
      if (before !== undefined && nowMs < before.againMs) continue;
      const pauseMs = before === undefined ? FIRST_AGAIN_MS : Math.min(LONGEST_AGAIN_MS, before.pauseMs * 2);
      const signed = signJson(topics.alarms, encodeJson(event), trust.signer);
      await link.publish(topics.alarms, signed, { priority: 'alarm' });
      this.#sent.set(event.eventId, { againMs: nowMs + pauseMs, pauseMs });
    }
  }

  #pause(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const settle = () => {
        cancel();
        signal.removeEventListener('abort', settle);
        this.#wake = () => undefined;
        resolve();
      };
      const cancel = this.#context.timers.after('outbox', LOOK_MS, settle);
      this.#wake = settle;
      signal.addEventListener('abort', settle, { once: true });
    });
  }
}
