import { fromFloat16 } from '../scada/float16.js';
import { halfOf } from './half.js';
import type { ParameterCodec } from './messages.js';
import type { LayerLayout } from './parameter-codec.js';

/**
 * The numbers of largest magnitude, and where they are; all others are taken to be 0 (sparsification as in Aji and Heafield 2017). The packing is ours:
 *
 * one byte Rice parameter r, the count as LEB128, then for each number, in the order of the flat parameters of the selected layers, how many were passed over
 * since the last one, as a Rice code: ⌊gap / 2^r⌋ ones, a zero, r low bits, the highest bit first. With r = 0 that is a bitmap; the sender takes the r that gives
 * the fewest bits, so it is never longer. Zero bits fill the last byte. Then the values: half floats, or for each row that has any
 * (a row: what leads to one output; a layer's biases are one row) a scale of two bytes, the upper half of a float32, and a signed byte per number.
 */

type Values = 'f16' | 'int8';

export const TOP_K_VALUES = { 'topk-f16': 'f16', 'topk-int8': 'int8' } as const satisfies {
  [K in Extract<ParameterCodec, `topk-${string}`>]: Values;
};

const LARGEST_RICE = 15;
/** What is smaller is not worth a place, and its scale would have no precision left. */
const SMALLEST = 1e-30;

/** Numbers of the selected layers, one after the other. */
interface Places {
  /** [selected] Index in the flat parameters. */
  readonly flat: Int32Array;
  /** [selected] Rising with the layer. */
  readonly row: Int32Array;
  readonly rows: number;
}

function placesOf(layers: readonly LayerLayout[]): Places {
  const count = layers.reduce((sum, { inputs, outputs }) => sum + (inputs + 1) * outputs, 0);
  const flat = new Int32Array(count);
  const row = new Int32Array(count);
  let at = 0;
  let rows = 0;
  for (const { inputs, outputs, weightOffset } of layers) {
    const weights = inputs * outputs;
    for (let i = 0; i < weights + outputs; i++, at++) {
      flat[at] = weightOffset + i;
      row[at] = rows + (i < weights ? i % outputs : outputs);
    }
    rows += outputs + 1;
  }
  return { flat, row, rows };
}

/** @param delta [parameters], finite. @param keep share of the selected numbers that are sent, at least one. */
export function packTopK(
  delta: Float32Array,
  layers: readonly LayerLayout[],
  values: Values,
  keep: number,
): Uint8Array {
  const places = placesOf(layers);
  const chosen = largest(delta, places, keep);
  const rice = bestRice(chosen);
  const bits = new BitWriter();
  let next = 0;
  for (const place of chosen) {
    const gap = place - next;
    for (let i = gap >> rice; i > 0; i--) bits.push(1);
    bits.push(0);
    for (let bit = rice - 1; bit >= 0; bit--) bits.push((gap >> bit) & 1);
    next = place + 1;
  }
  const head = [rice, ...leb128(chosen.length)];
  const numbers = values === 'f16' ? halves(delta, places, chosen) : quantized(delta, places, chosen);
  const packed = new Uint8Array(head.length + bits.bytes.length + numbers.length);
  packed.set(head);
  packed.set(bits.bytes, head.length);
  packed.set(numbers, head.length + bits.bytes.length);
  return packed;
}

/**
 * Writes what is there into `delta`, [parameters]; where it says what is wrong, `delta` is worth nothing.
 * Takes no more memory than the layers have numbers, whatever the bytes say.
 */
export function unpackTopK(
  bytes: Uint8Array,
  layers: readonly LayerLayout[],
  values: Values,
  delta: Float32Array,
): string | null {
  const places = placesOf(layers);
  const rice = bytes[0] ?? LARGEST_RICE + 1;
  if (rice > LARGEST_RICE) return `no Rice parameter of 0 to ${LARGEST_RICE}`;
  const count = readLeb128(bytes, 1, places.flat.length);
  if (count === null) return `no count of 0 to ${places.flat.length}`;
  const bits = new BitReader(bytes, count.next);
  const chosen = new Int32Array(count.value);
  let next = 0;
  for (let k = 0; k < count.value; k++) {
    let high = 0;
    for (let bit = bits.take(); bit !== 0; bit = bits.take()) {
      if (bit < 0) return 'truncated indices';
      high++;
    }
    let low = 0;
    for (let i = 0; i < rice; i++) {
      const bit = bits.take();
      if (bit < 0) return 'truncated indices';
      low = low * 2 + bit;
    }
    const place = next + high * 2 ** rice + low;
    if (place >= places.flat.length) return `index ${place} of ${places.flat.length}`;
    chosen[k] = place;
    next = place + 1;
  }
  if (!bits.isPaddedWithZeros()) return 'bits after the last index';
  const rest = bytes.subarray(bits.end);
  return values === 'f16' ? readHalves(rest, places, chosen, delta) : readQuantized(rest, places, chosen, delta);
}

/** Rising positions among the selected numbers; of equal magnitudes, the first. */
function largest(delta: Float32Array, { flat }: Places, keep: number): Int32Array {
  const wanted = Math.min(flat.length, Math.max(1, Math.round(keep * flat.length)));
  const sizes = new Float32Array(flat.length);
  for (let place = 0; place < flat.length; place++) sizes[place] = Math.abs(delta[flat[place]!]!);
  const least = Math.max(SMALLEST, sizes.slice().sort()[flat.length - wanted] ?? 0);
  let ties = wanted;
  for (let place = 0; place < flat.length; place++) if (sizes[place]! > least) ties--;
  const chosen = new Int32Array(wanted);
  let count = 0;
  for (let place = 0; place < flat.length; place++) {
    const size = sizes[place]!;
    if (size > least || (size === least && ties-- > 0)) chosen[count++] = place;
  }
  return chosen.subarray(0, count);
}

function bestRice(chosen: Int32Array): number {
  let best = 0;
  let fewest = Number.POSITIVE_INFINITY;
  for (let rice = 0; rice <= LARGEST_RICE; rice++) {
    let bits = 0;
    let next = 0;
    for (const place of chosen) {
      bits += ((place - next) >> rice) + 1 + rice;
      next = place + 1;
    }
    if (bits < fewest) [best, fewest] = [rice, bits];
  }
  return best;
}

function halves(delta: Float32Array, { flat }: Places, chosen: Int32Array): Uint8Array {
  const view = new DataView(new ArrayBuffer(2 * chosen.length));
  for (let k = 0; k < chosen.length; k++) view.setUint16(2 * k, halfOf(delta[flat[chosen[k]!]!]!), true);
  return new Uint8Array(view.buffer);
}

function readHalves(bytes: Uint8Array, { flat }: Places, chosen: Int32Array, delta: Float32Array): string | null {
  if (bytes.length !== 2 * chosen.length) return `${bytes.length} bytes for ${chosen.length} half floats`;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let k = 0; k < chosen.length; k++) delta[flat[chosen[k]!]!] = fromFloat16(view.getUint16(2 * k, true));
  return null;
}

function quantized(delta: Float32Array, { flat, row, rows }: Places, chosen: Int32Array): Uint8Array {
  const peaks = new Float32Array(rows);
  for (const place of chosen) peaks[row[place]!] = Math.max(peaks[row[place]!]!, Math.abs(delta[flat[place]!]!));
  const word = new DataView(new ArrayBuffer(4));
  const scaleBits = Array.from(peaks, (peak) => upperHalf(peak / 127, word));
  const scales = scaleBits.map((bits) => fromUpperHalf(bits, word));
  const used = rowsOf(chosen, row, rows);
  const view = new DataView(new ArrayBuffer(2 * used.length + chosen.length));
  for (const [k, r] of used.entries()) view.setUint16(2 * k, scaleBits[r]!, true);
  for (let k = 0; k < chosen.length; k++) {
    const place = chosen[k]!;
    const steps = Math.round(delta[flat[place]!]! / scales[row[place]!]!);
    view.setInt8(2 * used.length + k, Math.max(-127, Math.min(127, steps)));
  }
  return new Uint8Array(view.buffer);
}

function readQuantized(
  bytes: Uint8Array,
  { flat, row, rows }: Places,
  chosen: Int32Array,
  delta: Float32Array,
): string | null {
  const used = rowsOf(chosen, row, rows);
  const expected = 2 * used.length + chosen.length;
  if (bytes.length !== expected) return `${bytes.length} bytes for ${used.length} scales and ${chosen.length} numbers`;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const scales = new Float32Array(rows);
  const word = new DataView(new ArrayBuffer(4));
  for (const [k, r] of used.entries()) {
    const scale = fromUpperHalf(view.getUint16(2 * k, true), word);
    if (!(scale >= 0 && scale < Number.POSITIVE_INFINITY)) return `a scale of ${scale}`;
    scales[r] = scale;
  }
  for (let k = 0; k < chosen.length; k++) {
    const place = chosen[k]!;
    delta[flat[place]!] = view.getInt8(2 * used.length + k) * scales[row[place]!]!;
  }
  return null;
}

/** Rows that have a number among the chosen, rising. */
function rowsOf(chosen: Int32Array, row: Int32Array, rows: number): number[] {
  const has = new Uint8Array(rows);
  for (const place of chosen) has[row[place]!] = 1;
  return [...has.keys()].filter((r) => has[r] === 1);
}

/** The upper two bytes of a float32 that is not below `value` ≥ 0. @param word four bytes to write on. */
function upperHalf(value: number, word: DataView): number {
  word.setFloat32(0, value);
  return word.getUint16(0) + (word.getUint16(2) > 0 ? 1 : 0);
}

function fromUpperHalf(bits: number, word: DataView): number {
  word.setUint16(0, bits);
  word.setUint16(2, 0);
  return word.getFloat32(0);
}

function leb128(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...leb128(value >>> 7)];
}

/** Null for more than `most`, or more than four bytes. */
function readLeb128(bytes: Uint8Array, start: number, most: number): { value: number; next: number } | null {
  let value = 0;
  for (let i = 0; i < 4; i++) {
    const byte = bytes[start + i];
    if (byte === undefined) return null;
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return value <= most ? { value, next: start + i + 1 } : null;
  }
  return null;
}

class BitWriter {
  readonly bytes: number[] = [];
  #used = 8;

  push(bit: number): void {
    if (this.#used === 8) {
      this.bytes.push(0);
      this.#used = 0;
    }
    this.bytes[this.bytes.length - 1]! |= bit << (7 - this.#used);
    this.#used++;
  }
}

class BitReader {
  readonly #bytes: Uint8Array;
  #at: number;

  constructor(bytes: Uint8Array, start: number) {
    this.#bytes = bytes;
    this.#at = 8 * start;
  }

  /** 0 or 1; −1 at the end. */
  take(): number {
    const byte = this.#bytes[this.#at >> 3];
    if (byte === undefined) return -1;
    return (byte >> (7 - (this.#at++ & 7))) & 1;
  }

  /** The first byte of which nothing was taken. */
  get end(): number {
    return (this.#at + 7) >> 3;
  }

  isPaddedWithZeros(): boolean {
    const used = this.#at & 7;
    return used === 0 || (this.#bytes[this.#at >> 3]! & (0xff >> used)) === 0;
  }
}
