import { TwinwatchError } from '../errors.js';
import { fromFloat16, toFloat16 } from './float16.js';

/**
 * Between Modbus registers and engineering units. A 16-bit register arrives most significant byte first (Modbus
 * Application Protocol 1.1b3, §4.2); how devices order the registers of wider values is not standardised, hence ByteOrder.
 */

/** BIT is one bit, BITS a field of several in one register; BCD16 and BCD32 hold four and eight decimal digits; 8L and 8H are a register's low and high byte. */
export const REGISTER_TYPES = [
  'BIT',
  'BITS',
  'INT8L',
  'INT8H',
  'UINT8L',
  'UINT8H',
  'INT16',
  'UINT16',
  'INT32',
  'UINT32',
  'INT64',
  'UINT64',
  'FLOAT16',
  'FLOAT32',
  'FLOAT64',
  'BCD16',
  'BCD32',
  'STRING',
] as const;

export type RegisterType = (typeof REGISTER_TYPES)[number];

/**
 * Order of the bytes on the wire, A the most significant of a 32-bit value: ABCD big endian, CDAB registers swapped,
 * BADC bytes of each register swapped, DCBA both. 64-bit values follow the same two swaps over four registers.
 */
export type ByteOrder = 'ABCD' | 'CDAB' | 'BADC' | 'DCBA';

export interface RegisterLayout {
  readonly type: RegisterType;
  readonly byteOrder: ByteOrder;
  /** value = raw · scale + offset, in the tag's unit. */
  readonly scale: number;
  readonly offset: number;
  /** Which bit of a holding or input register a BIT is, or BITS begin with, 0 the least significant; ignored otherwise. */
  readonly bit: number;
  /** How many bits BITS have; 1 without it. */
  readonly bits?: number;
  /** How many registers a STRING has; 1 without it. */
  readonly length?: number;
  /** Raw values, before scale and offset, with which the device says that it has none: 32767, -9999. */
  readonly invalid?: readonly number[];
}

export type Decoded =
  | { readonly quality: 'good'; readonly value: number }
  | { readonly quality: 'bad'; readonly value: number; readonly reason: string };

const WIDE: Readonly<Partial<Record<RegisterType, number>>> = {
  INT32: 2,
  UINT32: 2,
  FLOAT32: 2,
  BCD32: 2,
  INT64: 4,
  UINT64: 4,
  FLOAT64: 4,
};

/** Registers that a value takes (a BIT takes the one it sits in, or one coil). */
export function registerWidth({ type, length }: Pick<RegisterLayout, 'type' | 'length'>): number {
  return type === 'STRING' ? (length ?? 1) : (WIDE[type] ?? 1);
}

export function isFloat(type: RegisterType): boolean {
  return type === 'FLOAT16' || type === 'FLOAT32' || type === 'FLOAT64';
}

const swapsWords = (order: ByteOrder) => order === 'CDAB' || order === 'DCBA';
const swapsBytes = (order: ByteOrder) => order === 'BADC' || order === 'DCBA';

const swapped = (word: number) => ((word & 0xff) << 8) | (word >> 8);

/** Decimal digits, four to a register; NaN where a nibble is none. */
function readBcd(word: number): number {
  let value = 0;
  for (let shift = 12; shift >= 0; shift -= 4) {
    const digit = (word >> shift) & 0xf;
    if (digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  return value;
}

/** @param view the value's bytes, most significant first. */
function readRaw(view: DataView, { type, bit, bits = 1 }: RegisterLayout): number {
  switch (type) {
    case 'BIT':
      return (view.getUint16(0) >> bit) & 1;
    case 'BITS':
      return (view.getUint16(0) >> bit) & (2 ** bits - 1);
    case 'INT8L':
      return view.getInt8(1);
    case 'INT8H':
      return view.getInt8(0);
    case 'UINT8L':
      return view.getUint8(1);
    case 'UINT8H':
      return view.getUint8(0);
    case 'INT16':
      return view.getInt16(0);
    case 'UINT16':
      return view.getUint16(0);
    case 'INT32':
      return view.getInt32(0);
    case 'UINT32':
      return view.getUint32(0);
    case 'INT64':
      return Number(view.getBigInt64(0));
    case 'UINT64':
      return Number(view.getBigUint64(0));
    case 'FLOAT16':
      return fromFloat16(view.getUint16(0));
    case 'FLOAT32':
      return view.getFloat32(0);
    case 'FLOAT64':
      return view.getFloat64(0);
    case 'BCD16':
      return readBcd(view.getUint16(0));
    case 'BCD32':
      return readBcd(view.getUint16(0)) * 10_000 + readBcd(view.getUint16(2));
    case 'STRING':
      return Number.NaN;
  }
}

/**
 * The value at `words[index …]` (registers as unsigned 16-bit numbers; for a coil, 0 or 1 with bit 0), NaN where there is none:
 * a float that is NaN or infinite, a value that the device calls invalid, registers that are not there, letters.
 */
export type ValueDecoder = (words: ArrayLike<number>, index: number) => number;

/** The commonest layouts without a detour over bytes: a device may serve many thousands of them many times a second. */
function quickDecoder({ type, byteOrder, scale, offset }: RegisterLayout): ValueDecoder | null {
  const isPlain = scale === 1 && offset === 0;
  if (type === 'FLOAT32' && !swapsBytes(byteOrder)) {
    const word = new Uint32Array(1);
    const float = new Float32Array(word.buffer);
    const [high, low] = swapsWords(byteOrder) ? [1, 0] : [0, 1];
    return (words, index) => {
      if (index < 0 || index + 2 > words.length) return Number.NaN;
      word[0] = (words[index + high]! << 16) | words[index + low]!;
      const raw = float[0]!;
      const value = isPlain ? raw : raw * scale + offset;
      return value - value === 0 ? value : Number.NaN;
    };
  }
  if ((type !== 'INT16' && type !== 'UINT16') || swapsBytes(byteOrder)) return null;
  const isSigned = type === 'INT16';
  return (words, index) => {
    if (index < 0 || index >= words.length) return Number.NaN;
    const word = words[index]!;
    return (isSigned ? (word << 16) >> 16 : word) * scale + offset;
  };
}

/** A number as the nearest one that a float type holds: a device's 3.4028235e38 is not the float64 of these digits. */
function heldBy(type: RegisterType, value: number): number {
  if (type === 'FLOAT32') return Math.fround(value);
  return type === 'FLOAT16' ? fromFloat16(toFloat16(value)) : value;
}

/** A decoder of one layout, for many values: it allocates nothing. */
export function createDecoder(layout: RegisterLayout): ValueDecoder {
  const { scale, offset, byteOrder } = layout;
  const invalid = (layout.invalid ?? []).map((value) => heldBy(layout.type, value));
  const quick = invalid.length === 0 ? quickDecoder(layout) : null;
  if (quick !== null) return quick;
  const width = registerWidth(layout);
  const view = new DataView(new ArrayBuffer(width * 2));
  const [turned, crossed] = [swapsWords(byteOrder), swapsBytes(byteOrder)];
  return (words, index) => {
    if (index < 0 || index + width > words.length) return Number.NaN;
    for (let i = 0; i < width; i++) {
      const word = words[index + (turned ? width - 1 - i : i)]!;
      view.setUint16(i * 2, crossed ? swapped(word) : word);
    }
    const raw = readRaw(view, layout);
    const value = raw * scale + offset;
    return !Number.isFinite(value) || (invalid.length > 0 && invalid.includes(raw)) ? Number.NaN : value;
  };
}

/** Why there is no value where a decoder gives none: 'SHORT_ANSWER', 'INVALID', 'NOT_BCD' or 'NOT_A_NUMBER'. */
export function reasonOfNone(words: ArrayLike<number>, index: number, layout: RegisterLayout): string {
  if (index < 0 || index + registerWidth(layout) > words.length) return 'SHORT_ANSWER';
  const { invalid: _, ...plain } = layout;
  if (!Number.isNaN(createDecoder(plain)(words, index))) return 'INVALID';
  return layout.type === 'BCD16' || layout.type === 'BCD32' ? 'NOT_BCD' : 'NOT_A_NUMBER';
}

/** One value with its reason where it is bad; for many values, createDecoder. */
export function decodeValue(words: ArrayLike<number>, index: number, layout: RegisterLayout): Decoded {
  const value = createDecoder(layout)(words, index);
  return Number.isNaN(value)
    ? { quality: 'bad', value, reason: reasonOfNone(words, index, layout) }
    : { quality: 'good', value };
}

/** The letters of a STRING, two to a register, up to the first zero byte, without spaces at the end; null where registers are missing. */
export function decodeText(words: ArrayLike<number>, index: number, layout: RegisterLayout): string | null {
  const width = registerWidth(layout);
  if (index < 0 || index + width > words.length) return null;
  const bytes: number[] = [];
  for (let i = 0; i < width; i++) {
    const word = words[index + (swapsWords(layout.byteOrder) ? width - 1 - i : i)]!;
    const pair = [word >> 8, word & 0xff];
    bytes.push(...(swapsBytes(layout.byteOrder) ? pair.reverse() : pair));
  }
  const end = bytes.indexOf(0);
  return String.fromCharCode(...(end < 0 ? bytes : bytes.slice(0, end))).trimEnd();
}

const INTEGER_RANGE: Readonly<Partial<Record<RegisterType, readonly [bigint, bigint]>>> = {
  INT8L: [-0x80n, 0x7fn],
  INT8H: [-0x80n, 0x7fn],
  UINT8L: [0n, 0xffn],
  UINT8H: [0n, 0xffn],
  INT16: [-0x8000n, 0x7fffn],
  UINT16: [0n, 0xffffn],
  INT32: [-0x8000_0000n, 0x7fff_ffffn],
  UINT32: [0n, 0xffff_ffffn],
  INT64: [-0x8000_0000_0000_0000n, 0x7fff_ffff_ffff_ffffn],
  UINT64: [0n, 0xffff_ffff_ffff_ffffn],
  BCD16: [0n, 9_999n],
  BCD32: [0n, 99_999_999n],
};

/** Why a type never reads a raw value, null where it does. */
export function neverRead(raw: number, { type, bits = 1 }: Pick<RegisterLayout, 'type' | 'bits'>): string | null {
  if (type === 'STRING') return 'a STRING holds no numbers';
  if (isFloat(type)) return Number.isFinite(heldBy(type, raw)) ? null : `${raw} is beyond ${type}`;
  const [low, high] = INTEGER_RANGE[type] ?? [0n, (1n << BigInt(bits)) - 1n];
  if (Number.isInteger(raw) && raw >= Number(low) && raw <= Number(high)) return null;
  return `${type} reads whole numbers from ${low} to ${high}, never ${raw}`;
}

/** Rounded and held inside the type's range, as the conversion blocks of PLCs do. */
function saturate(raw: number, { type, bits = 1 }: RegisterLayout): bigint {
  const [low, high] = INTEGER_RANGE[type] ?? [0n, (1n << BigInt(bits)) - 1n];
  if (raw === Number.POSITIVE_INFINITY) return high;
  if (raw === Number.NEGATIVE_INFINITY) return low;
  const integer = BigInt(Math.round(raw));
  return integer < low ? low : integer > high ? high : integer;
}

const toBcd = (integer: bigint) => BigInt(`0x${integer}`);

function writeRaw(view: DataView, raw: number, layout: RegisterLayout): void {
  const { type, bit } = layout;
  if (type === 'BIT') view.setUint16(0, raw === 0 ? 0 : 1 << bit);
  else if (type === 'FLOAT16') view.setUint16(0, toFloat16(raw));
  else if (type === 'FLOAT32') view.setFloat32(0, raw);
  else if (type === 'FLOAT64') view.setFloat64(0, raw);
  else {
    const integer = saturate(raw, layout);
    if (type === 'BITS') view.setUint16(0, Number(integer) << bit);
    else if (type === 'INT8L' || type === 'UINT8L') view.setUint8(1, Number(integer) & 0xff);
    else if (type === 'INT8H' || type === 'UINT8H') view.setUint8(0, Number(integer) & 0xff);
    else if (type === 'BCD16') view.setUint16(0, Number(toBcd(integer)));
    else if (type === 'BCD32') view.setUint32(0, Number(toBcd(integer)));
    else if (view.byteLength === 2) view.setInt16(0, Number(integer));
    else if (view.byteLength === 4) view.setInt32(0, Number(integer));
    else view.setBigInt64(0, integer);
  }
}

/**
 * Registers [registerWidth(layout)] that decode to `value`, to the resolution of type and scale. Integers saturate at the
 * type's range. A part of a register (BIT, BITS, a byte) gives the register with only its bits set: or it into the register it shares.
 * @throws TwinwatchError SCADA_NOT_ENCODABLE for NaN in a type that has none, and for a number as a STRING.
 */
export function encodeValue(value: number, layout: RegisterLayout): number[] {
  const raw = (value - layout.offset) / layout.scale;
  const { type, byteOrder } = layout;
  if (type === 'STRING' || (Number.isNaN(raw) && !isFloat(type)))
    throw new TwinwatchError(
      'SCADA_NOT_ENCODABLE',
      type === 'STRING'
        ? 'a number cannot be written as STRING; use a numeric type'
        : `NaN cannot be written as ${type}; give a number or use a float type`,
      { context: { type } },
    );
  const width = registerWidth(layout);
  const view = new DataView(new ArrayBuffer(width * 2));
  writeRaw(view, raw, layout);
  const words = Array.from({ length: width }, (_, i) => view.getUint16(i * 2));
  if (swapsWords(byteOrder)) words.reverse();
  return swapsBytes(byteOrder) ? words.map(swapped) : words;
}
