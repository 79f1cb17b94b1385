import { hashOf } from '@twinwatch/core/wire/blobs';
import { chunkCount } from '@twinwatch/core/wire/chunks';
import { afterVerdict, type Feedback, owedIn } from '@twinwatch/core/wire/error-feedback';
import type { Receipt, Update } from '@twinwatch/core/wire/messages';
import { enveloped, type FederationContext } from './federation-context.js';
import {
  decodeFeedback,
  decodeStoredUpdate,
  encodeFeedback,
  encodeStoredUpdate,
  type StoredUpdate,
} from './stored-update.js';

const PENDING = 'pending-update';
const FEEDBACK = 'residual';
const FIRST_AGAIN_MS = 3_000;
const LONGEST_AGAIN_MS = 30_000;
const MAXIMUM_UPDATE_BYTES = 64 * 1024 * 1024;
/** The verdict of an earlier update is waited for so long before the next one is learned. */
const SETTLE_MS = 10_000;
/** Nobody reads it; without a reason, an exception with its stack is made for every update. */
const SETTLED = 'settled';
/** See UpdateOutbox.flush. */
const WRITTEN_AFTER_MS = 5_000;

type UpdateReceipt = Extract<Receipt, { kind: 'update-receipt' }>;

interface Sending {
  readonly abort: AbortController;
  /** All its chunks may have left: whether it counts is for the server to say. */
  mayHaveArrived: boolean;
  isFirstPass: boolean;
  /** Monotonic: a clock that is set meanwhile ends no wait, and makes none longer. */
  readonly untilMs: number;
}

/** Of an update of which it is not known how much of it has left. */
const UNKNOWN = { mayHaveArrived: true, isFirstPass: false } as const;

/**
 * The one update that waits for its receipt. Kept on disk as the bytes that are sent, so that after a restart it is the same transfer, of which the server may
 * hold some chunks already. What the codec left out is remembered for the next update only once this one counts.
 */
export class UpdateOutbox {
  readonly #context: FederationContext;
  #pending: StoredUpdate | null = null;
  #accepted: StoredUpdate | null = null;
  #sending: Sending | null = null;
  #feedback: Feedback | null = null;
  #loaded: Promise<void> | null = null;
  readonly #onSettled = new Set<() => void>();
  /** Null where the disk holds what is known. */
  #cancelWrite: (() => void) | null = null;

  constructor(context: FederationContext) {
    this.#context = context;
  }

  async restore(signal: AbortSignal): Promise<void> {
    await this.#load();
    if (this.#pending !== null && this.#sending === null)
      this.#send(this.#pending, UNKNOWN, this.#pending.untilMs - this.#context.clock.now(), signal);
  }

  /** True where this task's update is under way or has been accepted: the task came again, the work is done. */
  holds(round: number, attempt: number, baseHash: string): boolean {
    return [this.#pending, this.#accepted].some(
      (update) => update?.round === round && update.attempt === attempt && update.baseHash === baseHash,
    );
  }

  /** The task that this update answers has come once more: it is sent again at once, and where its deadline has passed that counts from now. */
  goOn(deadlineMs: number, signal: AbortSignal): void {
    const { clock } = this.#context;
    if (this.#pending === null) {
      // Who asks for what it had accepted has lost it since, as a server that was put back from a backup has.
      if (this.#accepted !== null) this.#send({ ...this.#accepted, feedback: null }, UNKNOWN, deadlineMs, signal);
      return;
    }
    const leftMs = (this.#sending?.untilMs ?? 0) - clock.monotonic();
    // Who asks again has just come, or sees that this agent has: what was sent before may be lost, and the pause before it is sent again is long by now.
    if (leftMs >= 0 && this.#sending?.isFirstPass === true) return;
    this.#send(this.#pending, UNKNOWN, leftMs >= 0 ? leftMs : deadlineMs, signal);
  }

  /**
   * Takes the place of an older one.
   * @param feedback what will be owed once it counts; null for an evaluation.
   * @throws TwinwatchError WIRE_* for an update that no server would read; the older one stays.
   */
  put(update: Update, feedback: Feedback | null, deadlineMs: number, signal: AbortSignal): void {
    const { round, attempt, baseHash } = update;
    const bytes = enveloped(this.#context, this.#context.topics.up, update, MAXIMUM_UPDATE_BYTES);
    const untilMs = this.#context.clock.now() + deadlineMs;
    const pending: StoredUpdate = { round, attempt, baseHash, bytes, feedback, untilMs };
    if (this.#cancelWrite !== null) this.#writeFeedback();
    this.#context.store.write({ op: 'state', key: PENDING, value: encodeStoredUpdate(pending) });
    this.#send(pending, { mayHaveArrived: false, isFirstPass: true }, deadlineMs, signal);
  }

  received({ round, attempt, verdict, detail }: UpdateReceipt): void {
    const { log } = this.#context;
    const pending = this.#pending;
    if (pending === null || pending.round !== round || pending.attempt !== attempt) return;
    const counts = verdict === 'accepted' || verdict === 'duplicate';
    if (counts) log.info({ round, attempt, verdict }, 'update accepted');
    else log.warn({ round, attempt, verdict, detail }, 'update rejected');
    if (pending.feedback !== null) this.#remember(afterVerdict(this.#feedback, pending.feedback, verdict));
    if (counts) this.#accepted = pending;
    this.#forget();
    // The server says these two again to whoever asks again, and no other.
    if (!counts) this.flush();
  }

  /** The server asks for chunks of the update that is being sent. Those of the first pass come anyway. */
  async resend(transfer: string, missing: readonly number[], signal: AbortSignal): Promise<void> {
    const [pending, sending] = [this.#pending, this.#sending];
    if (pending === null || sending === null || sending.isFirstPass || hashOf(pending.bytes) !== transfer) return;
    const { link, topics } = this.#context;
    const both = AbortSignal.any([signal, sending.abort.signal]);
    await link.sendTransfer(topics.up, pending.bytes, { indices: missing, signal: both });
  }

  /**
   * [parameters] What a fit for `round` is to add, null for nothing. Waits until it is known whether the update before counted: added twice, or
   * lost, what it left out would spoil the average.
   */
  async owed(lineageHash: string, round: number, signal: AbortSignal): Promise<Float32Array | null> {
    await this.#load();
    await this.#settle(signal);
    return owedIn(this.#feedback, lineageHash, round);
  }

  async #settle(signal: AbortSignal): Promise<void> {
    const pending = this.#pending;
    if (pending === null || pending.feedback === null) return;
    if (this.#sending?.mayHaveArrived !== false) {
      this.#send(pending, UNKNOWN, SETTLE_MS, signal);
      if (await this.#isSettled(signal)) return;
      this.#context.log.warn(
        { round: pending.round },
        'whether the last update counted cannot be found out; what its codec left out is dropped',
      );
      this.#remember(null);
    }
    this.#forget();
  }

  async #isSettled(signal: AbortSignal): Promise<boolean> {
    const known = new AbortController();
    const settled = () => known.abort(SETTLED);
    this.#onSettled.add(settled);
    try {
      await this.#context.timers.sleep('update-settles', SETTLE_MS, AbortSignal.any([signal, known.signal]));
      return false;
    } catch {
      signal.throwIfAborted();
      return true;
    } finally {
      this.#onSettled.delete(settled);
    }
  }

  /** Once. What cannot be read is dropped. */
  #load(): Promise<void> {
    this.#loaded ??= (async () => {
      const { store, log } = this.#context;
      const [pending, feedback] = await Promise.all([store.call('state', PENDING), store.call('state', FEEDBACK)]);
      try {
        if (feedback !== null) this.#feedback = decodeFeedback(feedback);
      } catch (error) {
        log.error({ error: String(error) }, 'what codecs left out cannot be read; it is dropped');
        this.#remember(null);
      }
      try {
        if (pending !== null && this.#pending === null) this.#pending = decodeStoredUpdate(pending);
      } catch (error) {
        log.error({ error: String(error) }, 'the stored update cannot be read; it is dropped');
        this.#forget();
      }
      if (this.#pending === null) this.flush();
    })();
    return this.#loaded;
  }

  /**
   * What a receipt has settled, to the store. Else it goes there together with the next update, or some seconds later: who is killed before
   * asks again for the verdict that it had, and the server gives it again.
   */
  flush(): void {
    if (this.#cancelWrite === null) return;
    this.#writeFeedback();
    if (this.#pending === null) this.#context.store.write({ op: 'state', key: PENDING, value: null });
  }

  #writeFeedback(): void {
    this.#cancelWrite?.();
    this.#cancelWrite = null;
    const value = this.#feedback === null ? null : encodeFeedback(this.#feedback);
    this.#context.store.write({ op: 'state', key: FEEDBACK, value });
  }

  #writeLater(): void {
    this.#cancelWrite ??= this.#context.timers.after('update-settled', WRITTEN_AFTER_MS, () => this.flush());
  }

  #remember(feedback: Feedback | null): void {
    this.#feedback = feedback;
    this.#writeLater();
  }

  #forget(): void {
    this.#sending?.abort.abort(SETTLED);
    this.#sending = null;
    this.#pending = null;
    this.#writeLater();
    for (const settled of this.#onSettled) settled();
  }

  #send(
    pending: StoredUpdate,
    how: Pick<Sending, 'mayHaveArrived' | 'isFirstPass'>,
    forMs: number,
    signal: AbortSignal,
  ): void {
    this.#sending?.abort.abort(SETTLED);
    this.#pending = pending;
    const untilMs = this.#context.clock.monotonic() + forMs;
    const sending: Sending = { abort: new AbortController(), ...how, untilMs };
    this.#sending = sending;
    void this.#sendUntilReceived(pending, sending, AbortSignal.any([signal, sending.abort.signal]));
  }

  /** All chunks once; then the last one alone, now and again: a server that has not got them all asks for those that it lacks. */
  async #sendUntilReceived(pending: StoredUpdate, sending: Sending, signal: AbortSignal): Promise<void> {
    const { link, topics, store, timers, clock, log } = this.#context;
    const last = chunkCount(pending.bytes.length) - 1;
    let pauseMs = FIRST_AGAIN_MS;
    while (!signal.aborted) {
      if (clock.monotonic() > sending.untilMs) {
        log.warn({ round: pending.round }, 'no receipt for an update before its deadline; it is sent no more');
        // Whether it counted decides what is owed; that is found out before the next fit.
        if (pending.feedback === null && this.#pending === pending) this.#forget();
        return;
      }
      try {
        if (sending.isFirstPass) {
          // On the disk before it leaves: an update that counted and is not known here would be owed for twice.
          await store.call('state', PENDING);
          signal.throwIfAborted();
          const others = Array.from({ length: last }, (_, index) => index);
          if (last > 0) await link.sendTransfer(topics.up, pending.bytes, { indices: others, signal });
          sending.mayHaveArrived = true;
        }
        await link.sendTransfer(topics.up, pending.bytes, { indices: [last], signal });
        sending.isFirstPass = false;
        await timers.sleep('receipt-wait', pauseMs, signal);
        pauseMs = Math.min(LONGEST_AGAIN_MS, pauseMs * 2);
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ round: pending.round, error: String(error) }, 'update not sent yet');
        await timers.sleep('update-retry', 1_000, signal).catch(() => undefined);
      }
    }
  }
}
