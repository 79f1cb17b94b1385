import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import { encodeJson } from '@twinwatch/core/wire/json-messages';
import { signJson } from '@twinwatch/core/wire/signing';
import type { FederationContext } from './federation-context.js';
import { type Priority, SentEvents } from './sent-events.js';

/** Without a receipt, of what is sent again or late: the server has as many before a new alarm, at most. */
const BATCH = 32;
const LOOK_MS = 1_000;

/**
 * Sends what is in the outbox again and again until the server says that it has journalled it. A broker's acknowledgement deletes nothing.
 * What has just happened, and alarms that still last, go before anything else on the link; what else waited while the server was away follows,
 * oldest first, behind other small messages. One alarm's transitions always go in their order.
 */
export class AlarmOutbox {
  readonly #context: FederationContext;
  readonly #sent = new SentEvents();
  /** Received, but perhaps still in a list that was read before. */
  readonly #received = new Set<string>();
  #urgent: Promise<void> = Promise.resolve();
  #isPoked = false;
  #wake: () => void = () => undefined;

  constructor(context: FederationContext) {
    this.#context = context;
  }

  /** Has just been stored. Waits for nothing but the store, which knows whether something of the same alarm must go before. */
  stored(event: AlarmEvent): void {
    this.#urgently(async () => {
      const waiting = await this.#context.store.call('eventsOf', event.alarmId);
      // While the disk takes nothing, it knows nothing of it.
      const isStored = waiting.some(({ eventId }) => eventId === event.eventId);
      return isStored ? waiting : [...waiting, event];
    });
  }

  /** A new connection, or another server: what was sent over the last one may be lost with it. */
  reconnected(): void {
    this.#sent.clear();
    this.#urgently(() => this.#context.store.call('lastingEvents', BATCH));
    this.#poke();
  }

  received(eventIds: readonly string[]): void {
    this.#context.store.write({ op: 'received', eventIds });
    for (const eventId of eventIds) this.#received.add(eventId);
    // Looking into the outbox for every single one would be most of the work.
    if (this.#sent.size - this.#received.size <= BATCH / 2) this.#poke();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { link, log } = this.#context;
    while (!signal.aborted) {
      try {
        if (link.online) await this.#replay();
      } catch (error) {
        log.debug({ error: String(error) }, 'outbox not drained yet');
      }
      await this.#pause(signal);
    }
  }

  /** In turn, so that events of one alarm keep their order; handed over all at once, so that no alarm waits for another's acknowledgement. */
  #urgently(find: () => Promise<readonly AlarmEvent[]>): void {
    const { link, log } = this.#context;
    this.#urgent = this.#urgent
      .then(async () => {
        if (!link.online) return;
        for (const event of await find()) void this.#send(event, 'alarm');
      })
      .catch((error: unknown) => log.debug({ error: String(error) }, 'an alarm is sent with the rest of the outbox'));
  }

  async #replay(): Promise<void> {
    const deleted = [...this.#received];
    const events = await this.#context.store.outbox(BATCH);
    await this.#urgent;
    for (const eventId of deleted) {
      this.#received.delete(eventId);
      this.#sent.forget(eventId);
    }
    await Promise.all(events.map((event) => this.#send(event, 'replay')));
  }

  /** Never rejects: what the link gives back is sent again. */
  async #send(event: AlarmEvent, priority: Priority): Promise<void> {
    const { clock, link, topics, log, trust } = this.#context;
    const { eventId } = event;
    if (this.#received.has(eventId)) return;
    const attempt = this.#sent.begin(eventId, priority, clock.monotonic());
    if (attempt === null) return;
    try {
      await link.publish(topics.alarms, signJson(topics.alarms, encodeJson(event), trust.signer), { priority });
      attempt.acknowledged(clock.monotonic());
    } catch (error) {
      log.debug({ eventId, error: String(error) }, 'alarm event not sent yet');
      attempt.failed();
    }
  }

  #poke(): void {
    this.#isPoked = true;
    this.#wake();
  }

  /** Until there is something to do; not at all where that came up meanwhile. */
  #pause(signal: AbortSignal): Promise<void> {
    if (this.#isPoked) {
      this.#isPoked = false;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const settle = () => {
        this.#isPoked = false;
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
