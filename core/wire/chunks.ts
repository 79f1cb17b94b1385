import { z } from 'zod';
import { TwinwatchError } from '../errors.js';
import { hashOf } from './blobs.js';
import { decodeCbor, encodeCbor } from './cbor.js';
import { checked } from './envelope.js';

/** Large payloads in pieces, so that nothing urgent waits long behind them. */

/** Data per chunk; the whole chunk, with its fields, stays below 4 KiB. Both ends count chunks by it: part of the protocol. */
export const CHUNK_DATA_BYTES = 3840;
const MAXIMUM_CHUNK_BYTES = 4096;
/**
 * So many are sent unasked of what goes down; the agent asks for the rest in windows that its line takes (chunk-puller.ts). A broker
 * acknowledges at once and would pile up the whole in front of everything else that goes to the agent.
 */
export const UNASKED_CHUNKS = 4;

export interface Chunk {
  /** Hex SHA-256 of the whole. */
  readonly transfer: string;
  /** 0 … total − 1. */
  readonly index: number;
  readonly total: number;
  /** Size of the whole. */
  readonly bytes: number;
  readonly data: Uint8Array;
}

const chunkSchema = z.object({
  transfer: z.string().regex(/^[0-9a-f]{64}$/, 'must be a hex SHA-256'),
  index: z.int().min(0),
  total: z.int().min(1),
  bytes: z.int().min(0),
  data: z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'must be bytes'),
});

export interface Transfer {
  readonly transfer: string;
  readonly total: number;
  /** The encoded chunk of this index. @throws TwinwatchError WIRE_CHUNK_INVALID outside 0 … total − 1. */
  chunk(index: number): Uint8Array;
}

/** @param bytes of the whole. An empty payload is one empty chunk. */
export function chunkCount(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / CHUNK_DATA_BYTES));
}

/** An empty payload is one empty chunk. Chunks are encoded when asked for. */
export function split(bytes: Uint8Array): Transfer {
  const transfer = hashOf(bytes);
  const total = chunkCount(bytes.length);
  return {
    transfer,
    total,
    chunk(index) {
      if (!Number.isInteger(index) || index < 0 || index >= total)
        throw new TwinwatchError('WIRE_CHUNK_INVALID', `chunk ${index} of a transfer that has ${total}`, {
          context: { transfer, index, total },
        });
      const data = bytes.subarray(index * CHUNK_DATA_BYTES, (index + 1) * CHUNK_DATA_BYTES);
      return encodeCbor({ transfer, index, total, bytes: bytes.length, data });
    },
  };
}

/** Of all chunks together: what a payload of so many bytes takes on the wire. */
export function transferBytes(bytes: Uint8Array): number {
  const { total, chunk } = split(bytes);
  return Array.from({ length: total }, (_, index) => chunk(index).length).reduce((sum, length) => sum + length, 0);
}

/** @throws TwinwatchError WIRE_TOO_LARGE, WIRE_MALFORMED, WIRE_INVALID, or WIRE_CHUNK_INVALID where the fields contradict each other. */
export function decodeChunk(payload: Uint8Array): Chunk {
  const chunk = checked('chunk', chunkSchema, decodeCbor(payload, MAXIMUM_CHUNK_BYTES));
  const { index, total, bytes, data } = chunk;
  const length = Math.min(CHUNK_DATA_BYTES, bytes - index * CHUNK_DATA_BYTES);
  if (total !== chunkCount(bytes) || index >= total || data.length !== length)
    throw new TwinwatchError(
      'WIRE_CHUNK_INVALID',
      `chunk ${index} of ${total} with ${data.length} bytes cannot belong to ${bytes} bytes`,
      { context: { transfer: chunk.transfer } },
    );
  return chunk;
}
