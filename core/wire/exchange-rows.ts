import { TwinwatchError } from '../errors.js';
import type { Dataset } from '../learning/engine.js';
import { decodeCbor, encodeCbor } from './cbor.js';

/**
 * The blob of labelled twin rows that goes down with a lineage, and that agents mix into their own rows.
 *
 * Not from the paper, whose clients hold labelled rows of their own. A site without labels that fitted its normal rows only would
 * unlearn every attack; mixing in a small shared set is the data-sharing remedy for such one-sided clients. Only
 * simulated rows are in it, so nothing real leaves a site.
 *
 * Features are already scaled, hence within ±clip: each is a 16-bit fixed-point number, q · clip / 32767, little-endian.
 */

const VERSION = 1;
const STEPS = 32_767;
const MAXIMUM_BYTES = 1 << 30;

/** @param data scaled with the lineage's scaler; [count × inputs], row-major. Anything outside ±clip is cut. */
export function encodeExchangeRows(data: Dataset, inputs: number, clip: number): Uint8Array {
  const count = data.labels.length;
  const features = new DataView(new ArrayBuffer(count * inputs * 2));
  for (let i = 0; i < count * inputs; i++) {
    const share = Math.max(-1, Math.min(1, (data.features[i] ?? 0) / clip));
    features.setInt16(i * 2, Math.round(share * STEPS), true);
  }
  const labels = Uint8Array.from(data.labels, (label) => Math.round(label * 255));
  return encodeCbor({ version: VERSION, count, inputs, clip, features: new Uint8Array(features.buffer), labels });
}

/** @throws TwinwatchError WIRE_EXCHANGE_INVALID where the blob is damaged or made for another number of inputs. */
export function decodeExchangeRows(bytes: Uint8Array, expectedInputs: number): Dataset {
  let body: Record<string, unknown>;
  try {
    body = Object(decodeCbor(bytes, MAXIMUM_BYTES));
  } catch (cause) {
    throw invalid('is not CBOR of this protocol', { cause });
  }
  const { version, count, inputs, clip, features, labels } = body;
  if (version !== VERSION) throw invalid(`has version ${String(version)}, this software reads ${VERSION}`);
  if (inputs !== expectedInputs) throw invalid(`has ${String(inputs)} inputs per row, the detector ${expectedInputs}`);
  if (
    typeof count !== 'number' ||
    typeof clip !== 'number' ||
    !(features instanceof Uint8Array && features.length === count * expectedInputs * 2) ||
    !(labels instanceof Uint8Array && labels.length === count)
  ) {
    throw invalid('does not hold as many numbers as it says');
  }
  const view = new DataView(features.buffer, features.byteOffset, features.byteLength);
  const decoded = new Float32Array(count * expectedInputs);
  for (let i = 0; i < decoded.length; i++) decoded[i] = (view.getInt16(i * 2, true) * clip) / STEPS;
  return { features: decoded, labels: Float32Array.from(labels, (label) => label / 255) };
}

function invalid(what: string, details: { cause?: unknown } = {}): TwinwatchError {
  return new TwinwatchError(
    'WIRE_EXCHANGE_INVALID',
    `The blob of twin rows ${what}; agent and server must run versions that belong together`,
    details,
  );
}
