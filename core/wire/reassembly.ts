import { TwinwatchError } from '../errors.js';
import type { Clock } from '../runtime.js';
import { hashOf } from './blobs.js';
import { type Chunk, decodeChunk } from './chunks.js';

/** Transfers put together again from chunks that come in any order, twice, late, or not at all. */

export interface ReassemblyLimits {
  /** Of one transfer. */
  readonly maximumTransferBytes: number;
  /** Of all incomplete transfers together, as received. */
  readonly maximumHeldBytes: number;
  /** Incomplete at once, on one topic and in all. On one topic the oldest gives way, so that a topic cannot crowd out others. */
  readonly maximumTransfersPerTopic: number;
  readonly maximumTransfers: number;
  /** Since the last chunk; then what has come is forgotten. */
  readonly maximumIdleMs: number;
}

export const DEFAULT_REASSEMBLY_LIMITS: ReassemblyLimits = {
  maximumTransferBytes: 64 * 1024 * 1024,
  maximumHeldBytes: 128 * 1024 * 1024,
  maximumTransfersPerTopic: 8,
  maximumTransfers: 4096,
  maximumIdleMs: 120_000,
};

export interface IncompleteTransfer {
  readonly topic: string;
  readonly transfer: string;
  readonly total: number;
  readonly bytes: number;
  /** Indices that have not come. */
  readonly missing: readonly number[];
  /** It was whole before: the sender got no answer, or a chunk came twice. */
  readonly isRepeated: boolean;
}

export interface ArrivedChunk {
  readonly transfer: string;
  readonly index: number;
  readonly total: number;
  /** Size of the whole. */
  readonly size: number;
}

export type Accepted =
  | { readonly outcome: 'complete'; readonly transfer: string; readonly bytes: Uint8Array }
  | ({ readonly outcome: 'partial' } & ArrivedChunk)
  | { readonly outcome: 'duplicate'; readonly transfer: string };

interface Pending {
  readonly topic: string;
  readonly first: Chunk;
  readonly parts: Map<number, Uint8Array>;
  heldBytes: number;
  lastChunkAtMs: number;
  /** A second pass over something already delivered: chunks acknowledged late, or a sender that got no receipt. Asked for once. */
  readonly isRepeated: boolean;
  wasAskedFor: boolean;
}

/** Charged per chunk above its data, so that many tiny transfers cannot hide from the limit. */
const CHUNK_OVERHEAD_BYTES = 256;
const REMEMBERED_TRANSFERS = 256;

export class Reassembly {
  readonly #clock: Clock;
  readonly #limits: ReassemblyLimits;
  /** In order of their last chunk, oldest first. */
  readonly #pending = new Map<string, Pending>();
  readonly #delivered = new Set<string>();
  #heldBytes = 0;

  constructor(clock: Clock, limits: ReassemblyLimits = DEFAULT_REASSEMBLY_LIMITS) {
    this.#clock = clock;
    this.#limits = limits;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /**
   * The topic is part of a transfer's identity: the same blob may go to several agents, and nobody can spoil another's.
   * @throws TwinwatchError WIRE_CHUNK_INVALID and the codes of decodeChunk; WIRE_TOO_LARGE; WIRE_TRANSFER_LIMIT (retryable);
   * WIRE_TRANSFER_CORRUPT, after which the transfer is forgotten and may be sent again.
   */
  accept(topic: string, payload: Uint8Array): Accepted {
    const chunk = decodeChunk(payload);
    const { transfer, index } = chunk;
    this.forgetIdle();
    const key = `${topic} ${transfer}`;
    const pending = this.#pending.get(key) ?? this.#open(key, topic, chunk);
    if (pending.first.bytes !== chunk.bytes)
      throw new TwinwatchError('WIRE_CHUNK_INVALID', `chunk ${index} disagrees with the first about the size`, {
        context: { topic, transfer },
      });
    if (pending.parts.has(index)) return { outcome: 'duplicate', transfer };
    const bytes = chunk.data.length + CHUNK_OVERHEAD_BYTES;
    if (this.#heldBytes + bytes > this.#limits.maximumHeldBytes) {
      if (pending.parts.size === 0) this.#pending.delete(key);
      throw this.#full(topic, transfer);
    }
    this.#heldBytes += bytes;
    pending.heldBytes += bytes;
    pending.parts.set(index, chunk.data.slice());
    pending.lastChunkAtMs = this.#clock.monotonic();
    this.#pending.delete(key);
    this.#pending.set(key, pending);
    if (pending.parts.size < chunk.total)
      return { outcome: 'partial', transfer, index, total: chunk.total, size: chunk.bytes };
    this.#forget(key);
    return { outcome: 'complete', transfer, bytes: this.#join(key, pending) };
  }

  /** Whether some of its chunks are here, and not all. */
  holds(topic: string, transfer: string): boolean {
    return this.#pending.has(`${topic} ${transfer}`);
  }

  /** Incomplete transfers whose last chunk came at least `idleMs` ago, to be asked for. */
  stalled(idleMs: number): IncompleteTransfer[] {
    const now = this.#clock.monotonic();
    const found: IncompleteTransfer[] = [];
    for (const pending of this.#pending.values()) {
      const { topic, first, parts, lastChunkAtMs, isRepeated, wasAskedFor } = pending;
      if ((isRepeated && wasAskedFor) || now - lastChunkAtMs < idleMs) continue;
      pending.wasAskedFor = true;
      const missing: number[] = [];
      for (let index = 0; index < first.total; index++) if (!parts.has(index)) missing.push(index);
      found.push({ topic, transfer: first.transfer, total: first.total, bytes: first.bytes, missing, isRepeated });
    }
    return found;
  }

  /** Drops what has been idle for too long; returns how many transfers that were. */
  forgetIdle(): number {
    const now = this.#clock.monotonic();
    let forgotten = 0;
    for (const [key, pending] of this.#pending) {
      if (now - pending.lastChunkAtMs <= this.#limits.maximumIdleMs) break;
      this.#forget(key);
      forgotten++;
    }
    return forgotten;
  }

  #open(key: string, topic: string, chunk: Chunk): Pending {
    const { maximumTransferBytes, maximumTransfers, maximumTransfersPerTopic } = this.#limits;
    if (chunk.bytes > maximumTransferBytes)
      throw new TwinwatchError(
        'WIRE_TOO_LARGE',
        `transfer of ${chunk.bytes} bytes is above the limit of ${maximumTransferBytes}`,
        { context: { topic, transfer: chunk.transfer } },
      );
    const sameTopic = [...this.#pending].filter(([, pending]) => pending.topic === topic);
    if (sameTopic.length >= maximumTransfersPerTopic) this.#forget(sameTopic[0]![0]);
    else if (this.#pending.size >= maximumTransfers) throw this.#full(topic, chunk.transfer);
    const pending: Pending = {
      topic,
      first: { ...chunk, data: new Uint8Array(0) },
      parts: new Map(),
      heldBytes: 0,
      lastChunkAtMs: this.#clock.monotonic(),
      isRepeated: this.#delivered.has(key),
      wasAskedFor: false,
    };
    this.#pending.set(key, pending);
    return pending;
  }

  #full(topic: string, transfer: string): TwinwatchError {
    return new TwinwatchError(
      'WIRE_TRANSFER_LIMIT',
      `no room for another transfer on ${topic} now; send it again later`,
      {
        context: { topic, transfer, transfers: this.#pending.size, heldBytes: this.#heldBytes },
        retryable: true,
      },
    );
  }

  #forget(key: string): void {
    this.#heldBytes -= this.#pending.get(key)?.heldBytes ?? 0;
    this.#pending.delete(key);
  }

  #join(key: string, { topic, first, parts }: Pending): Uint8Array {
    const whole = new Uint8Array(first.bytes);
    let at = 0;
    for (let index = 0; index < first.total; index++) {
      const part = parts.get(index)!;
      whole.set(part, at);
      at += part.length;
    }
    const hash = hashOf(whole);
    if (hash !== first.transfer)
      throw new TwinwatchError(
        'WIRE_TRANSFER_CORRUPT',
        `transfer on ${topic} has another hash than it says; send it again`,
        {
          context: { topic, transfer: first.transfer, hash },
          retryable: true,
        },
      );
    this.#remember(key);
    return whole;
  }

  #remember(key: string): void {
    this.#delivered.delete(key);
    this.#delivered.add(key);
    for (const oldest of this.#delivered) {
      if (this.#delivered.size <= REMEMBERED_TRANSFERS) break;
      this.#delivered.delete(oldest);
    }
  }
}
