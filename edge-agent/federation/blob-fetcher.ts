import { TwinwatchError } from '@twinwatch/core/errors';
import { hashOf } from '@twinwatch/core/wire/blobs';
import type { BlobRef } from '@twinwatch/core/wire/messages';
import type { ArrivedChunk, IncompleteTransfer } from '@twinwatch/core/wire/reassembly';
import { ChunkPuller } from './chunk-puller.js';
import { enveloped, type FederationContext } from './federation-context.js';

/** The server pushes parameters right after their task; asking at once would fetch them twice. */
const PUSH_GRACE_MS = 2_000;
const LONGEST_WAIT_MS = 30_000;
/** Blobs that came unasked, kept for the task that follows: parameters of the last rounds. */
const KEPT_BLOBS = 4;

/** Of those that are stored, what every round asks for again: a lineage, its exchange rows, a teacher. */
const REMEMBERED_BLOBS = 3;
const LARGEST_REMEMBERED_BYTES = 1024 * 1024;

/** Blobs by hash: from the store, from what the server pushed, or asked for until they come. */
export class BlobFetcher {
  readonly #context: FederationContext;
  readonly #arrived = new Map<string, Uint8Array>();
  readonly #kept = new Map<string, Uint8Array>();
  readonly #puller: ChunkPuller;
  readonly #waiting = new Map<string, Set<() => void>>();

  constructor(context: FederationContext) {
    this.#context = context;
    this.#puller = new ChunkPuller(context.clock);
  }

  /** From the link: a transfer that is whole, its hash checked there. */
  arrived(hash: string, bytes: Uint8Array): void {
    this.#puller.complete(hash);
    this.#arrived.delete(hash);
    this.#arrived.set(hash, bytes);
    const surplus = [...this.#arrived.keys()].slice(0, -KEPT_BLOBS).filter((key) => !this.#waiting.has(key));
    for (const key of surplus) this.#arrived.delete(key);
    for (const wake of this.#waiting.get(hash) ?? []) wake();
  }

  /** From the link: chunks that stay away. Of what was whole already nothing is missing. */
  missing(incomplete: IncompleteTransfer): void {
    if (incomplete.isRepeated) return;
    void this.#ask({ hash: incomplete.transfer, bytes: incomplete.bytes }, this.#puller.stalled(incomplete));
  }

  /** From the link: one of a transfer that is not whole yet. */
  chunk(chunk: ArrivedChunk): void {
    const wanted = this.#puller.arrived(chunk);
    if (wanted.length > 0) void this.#ask({ hash: chunk.transfer, bytes: chunk.size }, wanted);
  }

  /**
   * @param keep true for what is needed again after a restart, and is not pushed: it is stored, and asked for at once.
   * @throws the signal's reason; TwinwatchError AGENT_BLOB_FAILED where what came is not what was named.
   */
  async get(ref: BlobRef, keep: boolean, signal: AbortSignal): Promise<Uint8Array> {
    const known = this.#kept.get(ref.hash) ?? (keep ? await this.#stored(ref.hash) : null);
    if (known !== null) {
      this.#remember(ref.hash, known);
      return known;
    }
    signal.throwIfAborted();
    if (keep && !this.#arrived.has(ref.hash)) this.#askForAll(ref);
    let waitMs = PUSH_GRACE_MS;
    for (;;) {
      signal.throwIfAborted();
      const bytes = this.#arrived.get(ref.hash);
      if (bytes !== undefined) {
        if (bytes.length !== ref.bytes)
          throw new TwinwatchError(
            'AGENT_BLOB_FAILED',
            `blob ${ref.hash} has ${bytes.length} bytes, ${ref.bytes} were announced`,
          );
        if (keep) {
          await this.#context.store.call('putBlob', ref.hash, bytes);
          this.#remember(ref.hash, bytes);
        }
        return bytes;
      }
      if (await this.#arrival(ref.hash, waitMs, signal)) continue;
      this.#askForAll(ref);
      waitMs = Math.min(LONGEST_WAIT_MS, waitMs * 1.5);
    }
  }

  async #stored(hash: string): Promise<Uint8Array | null> {
    const bytes = await this.#context.store.call('blob', hash);
    return bytes !== null && hashOf(bytes) === hash ? bytes : null;
  }

  #remember(hash: string, bytes: Uint8Array): void {
    if (bytes.length > LARGEST_REMEMBERED_BYTES) return;
    this.#kept.delete(hash);
    this.#kept.set(hash, bytes);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= REMEMBERED_BLOBS) break;
      this.#kept.delete(oldest);
    }
  }

  /** Of what is arriving, only what is missing is asked for, elsewhere. */
  #askForAll(ref: BlobRef): void {
    const { link, topics } = this.#context;
    if (!link.isArriving(topics.down, ref.hash)) void this.#ask(ref, null);
  }

  async #ask(blob: BlobRef, missing: readonly number[] | null): Promise<void> {
    const { link, topics, log } = this.#context;
    try {
      const { request } = topics;
      await link.publish(request, enveloped(this.#context, request, { kind: 'blob-request', blob, missing }));
    } catch (error) {
      log.debug({ hash: blob.hash, error: String(error) }, 'blob not asked for yet');
    }
  }

  /** True once it is there, false after `waitMs`. */
  #arrival(hash: string, waitMs: number, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const wakers = this.#waiting.get(hash) ?? new Set();
      this.#waiting.set(hash, wakers);
      const settle = (came: boolean) => {
        cancel();
        signal.removeEventListener('abort', onAbort);
        wakers.delete(onArrival);
        if (wakers.size === 0) this.#waiting.delete(hash);
        resolve(came);
      };
      const onArrival = () => settle(true);
      const onAbort = () => settle(true);
      const cancel = this.#context.timers.after('blob-wait', waitMs, () => settle(false));
      wakers.add(onArrival);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}
