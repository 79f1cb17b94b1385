import { createHash } from 'node:crypto';
import { TwinwatchError } from '../errors.js';
import { decodeCbor, encodeCbor } from './cbor.js';
import { checked } from './envelope.js';
import type { BlobRef, Lineage } from './messages.js';
import { lineageSchema } from './schemas/lineage.js';

/** Blobs: bytes named by their own hash. A lineage is CBOR; parameters are float32, little-endian, as laid out by the network. */

const MAXIMUM_LINEAGE_BYTES = 4 * 1024 * 1024;

/** Hex SHA-256. */
export function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export function blobRef(bytes: Uint8Array): BlobRef {
  return { hash: hashOf(bytes), bytes: bytes.length };
}

/** The same lineage gives the same bytes, hence the same hash: fields are written in the schema's order. */
export function encodeLineage(lineage: Lineage): Uint8Array {
  return encodeCbor(checked('lineage', lineageSchema, lineage));
}

/** @throws TwinwatchError WIRE_TOO_LARGE, WIRE_MALFORMED, WIRE_INVALID. */
export function decodeLineage(bytes: Uint8Array): Lineage {
  return checked('lineage', lineageSchema, decodeCbor(bytes, MAXIMUM_LINEAGE_BYTES));
}

/** @param parameters flat, see core/learning/network.ts. */
export function encodeParameters(parameters: Float32Array): Uint8Array {
  const bytes = new Uint8Array(parameters.length * 4);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < parameters.length; i++) view.setFloat32(i * 4, parameters[i]!, true);
  return bytes;
}

/** @throws TwinwatchError WIRE_DELTA_SHAPE for another length than `count` parameters, WIRE_DELTA_NOT_FINITE. */
export function decodeParameters(bytes: Uint8Array, count: number): Float32Array {
  if (bytes.length !== count * 4)
    throw new TwinwatchError(
      'WIRE_DELTA_SHAPE',
      `parameters of ${bytes.length} bytes, the network has ${count} of 4 bytes; both ends must use the same lineage`,
    );
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const parameters = new Float32Array(count);
  for (let i = 0; i < count; i++) parameters[i] = view.getFloat32(i * 4, true);
  const at = parameters.findIndex((value) => !Number.isFinite(value));
  if (at >= 0) throw new TwinwatchError('WIRE_DELTA_NOT_FINITE', `parameter ${at} is ${parameters[at]}`);
  return parameters;
}
