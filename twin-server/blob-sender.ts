import type { Logger } from '@twinwatch/core/runtime';
import { chunkCount, UNASKED_CHUNKS } from '@twinwatch/core/wire/chunks';
import type { Link } from '@twinwatch/core/wire/link';
import type { BlobRef } from '@twinwatch/core/wire/messages';
import type { Journal } from './aggregator/journal.js';

/** Blobs of the journal on their way down to agents, each once at a time. */

export interface BlobSenderOptions {
  readonly journal: Pick<Journal, 'blob'>;
  readonly link: Pick<Link, 'sendTransfer'>;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly topicOf: (agent: string) => string;
  /** No alarm: what is missing is asked for again. */
  readonly lost: (topic: string, error: unknown) => void;
}

export class BlobSender {
  readonly #options: BlobSenderOptions;
  /** By agent and hash: a hello during a transfer does not start it again. */
  readonly #sending = new Set<string>();
  /** Agent → hash of what was last sent to it unasked. */
  readonly #pushed = new Map<string, string>();
  #lastParameters: { readonly hash: string; readonly bytes: Uint8Array } | null = null;

  constructor(options: BlobSenderOptions) {
    this.#options = options;
  }

  /** A round's are the same for every agent. Null where they are not kept any more. */
  parameters(hash: string): Uint8Array | null {
    if (this.#lastParameters?.hash !== hash) {
      const bytes = this.#options.journal.blob(hash);
      if (bytes === null) return null;
      this.#lastParameters = { hash, bytes };
    }
    return this.#lastParameters.bytes;
  }

  /** Once: whoever says hello again may have some of it, or all, and asks for what it lacks. */
  push(agent: string, blob: BlobRef): void {
    if (this.#pushed.get(agent) === blob.hash) return;
    this.#pushed.set(agent, blob.hash);
    this.send(agent, blob, null);
  }

  /** @param missing chunk indices that the agent asks for; its first few where null. */
  send(agent: string, { hash }: BlobRef, missing: readonly number[] | null): void {
    const { journal, link, log, signal, topicOf, lost } = this.#options;
    const bytes = journal.blob(hash);
    if (bytes === null) {
      log.warn({ agent, hash }, `agent ${agent} asks for blob ${hash}, which is not kept here any more`);
      return;
    }
    // The rest is asked for, as fast as the agent's line takes it.
    const first = Array.from({ length: Math.min(UNASKED_CHUNKS, chunkCount(bytes.length)) }, (_, index) => index);
    const key = `${agent} ${hash}`;
    if (missing === null && this.#sending.has(key)) return;
    this.#sending.add(key);
    const down = topicOf(agent);
    link
      .sendTransfer(down, bytes, { indices: missing ?? first, signal })
      .catch((error: unknown) => lost(down, error))
      .finally(() => this.#sending.delete(key));
  }
}
