import { hashOf } from '@twinwatch/core/wire/blobs';
import { decodeCbor, encodeCbor } from '@twinwatch/core/wire/cbor';
import type { Receipt, Update } from '@twinwatch/core/wire/messages';
import { enveloped, type FederationContext } from './federation-context.js';

const PENDING = 'pending-update';
const RESIDUAL = 'residual';
const FIRST_AGAIN_MS = 3_000;
const LONGEST_AGAIN_MS = 30_000;
const MAXIMUM_UPDATE_BYTES = 64 * 1024 * 1024;

interface PendingUpdate {
  readonly update: Update;
  readonly lineageHash: string;
  /** float32, little-endian on every machine this runs on; null for an evaluation. */
  readonly residual: Uint8Array | null;
  /** Wall clock, after which nobody wants it. */
  readonly untilMs: number;
}

type UpdateReceipt = Extract<Receipt, { kind: 'update-receipt' }>;

/**
 * The one update that waits for its receipt. Kept on disk, so that a restart sends the same bytes again; the same update may
 * arrive many times. What the codec left out is remembered for the next update only once this one is accepted.
 */
export class UpdateOutbox {
  readonly #context: FederationContext;
  #pending: PendingUpdate | null = null;
  #accepted: Update | null = null;
  #sending: { readonly abort: AbortController; readonly bytes: Uint8Array } | null = null;

  constructor(context: FederationContext) {
    this.#context = context;
  }

  async restore(signal: AbortSignal): Promise<void> {
    const kept = await this.#context.store.call('state', PENDING);
    if (kept === null || this.#pending !== null) return;
    try {
      const pending = decodeCbor(kept, MAXIMUM_UPDATE_BYTES) as PendingUpdate;
      if (pending.untilMs > this.#context.clock.now()) this.#send(pending, this.#envelope(pending), signal);
      else this.#forget();
    } catch (error) {
      this.#context.log.error({ error: String(error) }, 'the stored update cannot be read; it is dropped');
      this.#forget();
    }
  }

  /** True where this task's update is under way or has been accepted: the task came again, the work is done. */
  holds(round: number, attempt: number, baseHash: string): boolean {
    return [this.#pending?.update, this.#accepted].some(
      (update) => update?.round === round && update.attempt === attempt && update.baseHash === baseHash,
    );
  }

  /**
   * Takes the place of an older one.
   * @throws TwinwatchError WIRE_* for an update that no server would read; the older one stays.
   */
  put(
    update: Update,
    lineageHash: string,
    residual: Float32Array | null,
    deadlineMs: number,
    signal: AbortSignal,
  ): void {
    const pending: PendingUpdate = {
      update,
      lineageHash,
      residual: residual === null ? null : new Uint8Array(residual.buffer, residual.byteOffset, residual.byteLength),
      untilMs: this.#context.clock.now() + deadlineMs,
    };
    const bytes = this.#envelope(pending);
    this.#context.store.write({ op: 'state', key: PENDING, value: encodeCbor(pending) });
    this.#send(pending, bytes, signal);
  }

  received({ round, attempt, verdict, detail }: UpdateReceipt): void {
    const { store, log } = this.#context;
    if (this.#pending === null || this.#pending.update.round !== round || this.#pending.update.attempt !== attempt)
      return;
    const { lineageHash, residual, update } = this.#pending;
    if (verdict === 'accepted' || verdict === 'duplicate') {
      log.info({ round, attempt }, 'update accepted');
      this.#accepted = update;
      if (residual !== null) store.write({ op: 'state', key: RESIDUAL, value: encodeCbor({ lineageHash, residual }) });
    } else log.warn({ round, attempt, verdict, detail }, 'update rejected');
    this.#forget();
  }

  /** The server asks for chunks of the update that is being sent. */
  async resend(transfer: string, missing: readonly number[], signal: AbortSignal): Promise<void> {
    const bytes = this.#sending?.bytes;
    if (bytes === undefined || hashOf(bytes) !== transfer) return;
    const { link, topics } = this.#context;
    await link.sendTransfer(topics.up, bytes, { indices: missing, signal });
  }

  /** What accepted updates of this lineage left out, null for none. [parameters]. */
  async residual(lineageHash: string): Promise<Float32Array | null> {
    const kept = await this.#context.store.call('state', RESIDUAL);
    if (kept === null) return null;
    const { lineageHash: of, residual } = decodeCbor(kept, MAXIMUM_UPDATE_BYTES) as {
      lineageHash: string;
      residual: Uint8Array;
    };
    return of === lineageHash ? new Float32Array(Uint8Array.from(residual).buffer) : null;
  }

  #forget(): void {
    this.#sending?.abort.abort();
    this.#sending = null;
    this.#pending = null;
    this.#context.store.write({ op: 'state', key: PENDING, value: null });
  }

  #envelope(pending: PendingUpdate): Uint8Array {
    return enveloped(this.#context, this.#context.topics.up, pending.update, MAXIMUM_UPDATE_BYTES);
  }

  /** @param bytes the same envelope every time: the same transfer, of which the server may hold some chunks already. */
  #send(pending: PendingUpdate, bytes: Uint8Array, signal: AbortSignal): void {
    this.#sending?.abort.abort();
    this.#pending = pending;
    const abort = new AbortController();
    this.#sending = { abort, bytes };
    void this.#sendUntilReceived(pending, bytes, AbortSignal.any([signal, abort.signal]));
  }

  async #sendUntilReceived(pending: PendingUpdate, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    const { link, topics, timers, clock, log } = this.#context;
    let pauseMs = FIRST_AGAIN_MS;
    while (!signal.aborted) {
      if (clock.now() > pending.untilMs) {
        log.warn({ round: pending.update.round }, 'no receipt for an update before its deadline; it is given up');
        if (this.#pending === pending) this.#forget();
        return;
      }
      try {
        await link.sendTransfer(topics.up, bytes, { signal });
        await timers.sleep('receipt-wait', pauseMs, signal);
        pauseMs = Math.min(LONGEST_AGAIN_MS, pauseMs * 2);
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ round: pending.update.round, error: String(error) }, 'update not sent yet');
        await timers.sleep('update-retry', 1_000, signal).catch(() => undefined);
      }
    }
  }
}
