import type { RegisterTable } from '@twinwatch/core/config/template-tag';
import { type ByteOrder, decodeValue, type RegisterType } from '@twinwatch/core/scada/registers';
import type { DraftTag } from './site-draft.js';

/** What registers may hold, judged by what they held. Pure. A guess: every tag says what was seen, for a person to compare. */

const ORDERS: readonly ByteOrder[] = ['ABCD', 'CDAB', 'BADC', 'DCBA'];
/** Measured values are of this size; a pair of small whole numbers read as a float is not. */
const SMALLEST = 1e-3;
const LARGEST = 1e7;
/** Of the pairs that are not 0, this share must look like floats, for any of them to be taken for one. */
const CONVINCING = 0.6;

/** Registers in a row from `address` on; `passes` holds what they were at each reading. */
export interface RegisterRun {
  readonly address: number;
  readonly passes: readonly Uint16Array[];
}

export interface TypedRun {
  readonly tags: readonly DraftTag[];
  /** Registers that held 0 at every reading: nothing can be said of them. */
  readonly alwaysZero: number;
}

interface Pairing {
  readonly order: ByteOrder;
  /** Index of the first pair: 0 or 1. */
  readonly parity: number;
  readonly floats: ReadonlySet<number>;
}

export function typedRun(run: RegisterRun, table: RegisterTable): TypedRun {
  const { address, passes } = run;
  const [first] = passes;
  const tags: DraftTag[] = [];
  if (first === undefined) return { tags, alwaysZero: 0 };
  const pairing = bestPairing(run);
  let alwaysZero = 0;
  for (let i = 0; i < first.length; ) {
    if (pairing?.floats.has(i) === true) {
      const { order } = pairing;
      tags.push({
        ...{ name: `${table}_${address + i}`, register: table, address: address + i, type: 'FLOAT32' },
        ...(order === 'ABCD' ? {} : { byte_order: order }),
        comment: `seen ${seen(run, i, 'FLOAT32', order)}`,
      });
      i += 2;
      continue;
    }
    const words = passes.map((pass) => pass[i]!);
    if (words.every((word) => word === 0)) alwaysZero++;
    else {
      // A whole number with its highest bit set is a small negative one more often than a large positive one.
      const type = words.some((word) => word >= 0x8000) ? 'INT16' : 'UINT16';
      tags.push({
        ...{ name: `${table}_${address + i}`, register: table, address: address + i, type },
        comment: `seen ${seen(run, i, type, 'ABCD')}`,
      });
    }
    i++;
  }
  return { tags, alwaysZero };
}

/**
 * The order and the parity by which most pairs look like floats, and fewest do not; null where none convinces. Of equals the one that begins where the
 * registers do: where every float is so round that half of its registers are 0, nothing tells ABCD from CDAB one register further.
 */
function bestPairing({ passes }: RegisterRun): Pairing | null {
  const length = passes[0]?.length ?? 0;
  let best: Pairing | null = null;
  let bestScore = 0;
  for (const parity of [0, 1])
    for (const order of ORDERS) {
      const floats = new Set<number>();
      let used = 0;
      for (let i = parity; i + 1 < length; i += 2) {
        if (passes.every((pass) => pass[i] === 0 && pass[i + 1] === 0)) continue;
        used++;
        if (passes.every((pass) => isMeasured(readAs(pass, i, 'FLOAT32', order)))) floats.add(i);
      }
      // One pair among others may look so by chance.
      const isEnough = floats.size >= 2 || (floats.size === 1 && length === 2);
      const score = 2 * floats.size - used;
      if (isEnough && floats.size >= used * CONVINCING && score > bestScore) {
        best = { order, parity, floats };
        bestScore = score;
      }
    }
  return best;
}

function isMeasured(value: number): boolean {
  const size = Math.abs(value);
  return value === 0 || (size >= SMALLEST && size <= LARGEST);
}

function readAs(words: Uint16Array, index: number, type: RegisterType, byteOrder: ByteOrder): number {
  return decodeValue(words, index, { type, byteOrder, scale: 1, offset: 0, bit: 0 }).value;
}

function seen({ passes }: RegisterRun, index: number, type: RegisterType, order: ByteOrder): string {
  const values = passes.map((pass) => String(Number(readAs(pass, index, type, order).toPrecision(6))));
  return [...new Set(values)].join(', ');
}
