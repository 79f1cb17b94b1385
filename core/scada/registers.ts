import { TwinwatchError } from '../errors.js';

/**
 * Between Modbus registers and engineering units. A 16-bit register arrives most significant byte first (Modbus
 * Application Protocol 1.1b3, §4.2); how devices order the registers of wider values is not standardised, hence ByteOrder.
 */

export type RegisterType = 'BIT' | 'INT16' | 'UINT16' | 'INT32' | 'UINT32' | 'INT64' | 'UINT64' | 'FLOAT32' | 'FLOAT64';

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
  /** Which bit of a holding or input register a BIT is, 0 the least significant; ignored otherwise. */
  readonly bit: number;
}

export type Decoded =
  | { readonly quality: 'good'; readonly value: number }
  | { readonly quality: 'bad'; readonly value: number; readonly reason: string };

const WIDTH_WORDS: Readonly<Record<RegisterType, number>> = {
  BIT: 1,
  INT16: 1,
  UINT16: 1,
  INT32: 2,
  UINT32: 2,
  INT64: 4,
  UINT64: 4,
  FLOAT32: 2,
  FLOAT64: 4,
};

/** Registers that a value of this type takes (a BIT takes the one it sits in, or one coil). */
export function registerWidth(type: RegisterType): number {
  return WIDTH_WORDS[type];
}

/** [bytes of the value], big endian, from `words` [registers] at `index`; and back, as the two swaps are their own inverse. */
function reorder(bytes: DataView, byteOrder: ByteOrder): DataView {
  const length = bytes.byteLength;
  const swapWords = byteOrder === 'CDAB' || byteOrder === 'DCBA';
  const swapBytes = byteOrder === 'BADC' || byteOrder === 'DCBA';
  const out = new DataView(new ArrayBuffer(length));
  for (let i = 0; i < length; i++) {
    const word = swapWords ? length / 2 - 1 - (i >> 1) : i >> 1;
    const byte = swapBytes ? 1 - (i & 1) : i & 1;
    out.setUint8(i, bytes.getUint8(word * 2 + byte));
  }
  return out;
}

function readRaw(view: DataView, layout: RegisterLayout): number {
  switch (layout.type) {
    case 'BIT':
      return (view.getUint16(0) >> layout.bit) & 1;
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
    case 'FLOAT32':
      return view.getFloat32(0);
    case 'FLOAT64':
      return view.getFloat64(0);
  }
}

/**
 * The value at `words[index …]` (registers as unsigned 16-bit numbers; for a coil, 0 or 1 with bit 0).
 * A float that is NaN or infinite, and registers that are not there, come back as bad with the reason and value NaN.
 */
export function decodeValue(words: ArrayLike<number>, index: number, layout: RegisterLayout): Decoded {
  const width = registerWidth(layout.type);
  if (index < 0 || index + width > words.length) return { quality: 'bad', value: Number.NaN, reason: 'SHORT_ANSWER' };
  const wire = new DataView(new ArrayBuffer(width * 2));
  for (let i = 0; i < width; i++) wire.setUint16(i * 2, words[index + i] ?? 0);
  const value = readRaw(reorder(wire, layout.byteOrder), layout) * layout.scale + layout.offset;
  return Number.isFinite(value)
    ? { quality: 'good', value }
    : { quality: 'bad', value: Number.NaN, reason: 'NOT_A_NUMBER' };
}

const INTEGER_RANGE: Readonly<Record<string, readonly [bigint, bigint]>> = {
  INT16: [-0x8000n, 0x7fffn],
  UINT16: [0n, 0xffffn],
  INT32: [-0x8000_0000n, 0x7fff_ffffn],
  UINT32: [0n, 0xffff_ffffn],
  INT64: [-0x8000_0000_0000_0000n, 0x7fff_ffff_ffff_ffffn],
  UINT64: [0n, 0xffff_ffff_ffff_ffffn],
};

/** Rounded and held inside the type's range, as the conversion blocks of PLCs do. */
function saturate(raw: number, type: RegisterType): bigint {
  const [low, high] = INTEGER_RANGE[type] ?? [0n, 0n];
  if (raw === Number.POSITIVE_INFINITY) return high;
  if (raw === Number.NEGATIVE_INFINITY) return low;
  const integer = BigInt(Math.round(raw));
  return integer < low ? low : integer > high ? high : integer;
}

/**
 * Registers [registerWidth(type)] that decode to `value`, to the resolution of type and scale. Integers saturate at the
 * type's range. A BIT gives the register with only its bit set: or it into the register it shares.
 * @throws TwinwatchError SCADA_NOT_ENCODABLE for NaN in a type that has none.
 */
export function encodeValue(value: number, layout: RegisterLayout): number[] {
  const raw = (value - layout.offset) / layout.scale;
  const { type } = layout;
  if (Number.isNaN(raw) && type !== 'FLOAT32' && type !== 'FLOAT64')
    throw new TwinwatchError(
      'SCADA_NOT_ENCODABLE',
      `NaN cannot be written as ${type}; give a number or use a float type`,
      {
        context: { type },
      },
    );
  const width = registerWidth(type);
  const view = new DataView(new ArrayBuffer(width * 2));
  if (type === 'BIT') view.setUint16(0, raw === 0 ? 0 : 1 << layout.bit);
  else if (type === 'FLOAT32') view.setFloat32(0, raw);
  else if (type === 'FLOAT64') view.setFloat64(0, raw);
  else {
    const integer = saturate(raw, type);
    if (width === 1) view.setInt16(0, Number(integer));
    else if (width === 2) view.setInt32(0, Number(integer));
    else view.setBigInt64(0, integer);
  }
  const wire = reorder(view, layout.byteOrder);
  return Array.from({ length: width }, (_, i) => wire.getUint16(i * 2));
}
