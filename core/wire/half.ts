import { toFloat16 } from '../scada/float16.js';

const LARGEST = 65_504;

/** Bits of the nearest half float; of what is larger than any, the largest. */
export function halfOf(value: number): number {
  return toFloat16(Math.max(-LARGEST, Math.min(LARGEST, value)));
}
