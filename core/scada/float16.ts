/** IEEE 754 binary16: a sign, five bits of exponent, ten of fraction. Node's own Float16Array is newer than the oldest Node that is supported. */

const FRACTION = 0x400;
/** Of the smallest number, 2^-24. */
const SMALLEST = 2 ** -24;

export function fromFloat16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & (FRACTION - 1);
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * fraction * SMALLEST;
  return sign * (FRACTION + fraction) * 2 ** (exponent - 25);
}

/** The nearest, ties to even; infinity from 65520 on. */
export function toFloat16(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (size >= 65_520) return sign | 0x7c00;
  const exponent = size < 2 ** -14 ? -14 : Math.floor(Math.log2(size));
  const units = toEven(size / 2 ** (exponent - 10));
  // A fraction that rounds up to the next power of two carries into the exponent by itself.
  return sign | (units < FRACTION ? units : ((exponent + 14) << 10) + units);
}

function toEven(value: number): number {
  const down = Math.floor(value);
  const rest = value - down;
  return rest > 0.5 || (rest === 0.5 && down % 2 === 1) ? down + 1 : down;
}
