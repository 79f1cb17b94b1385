import type { RegisterTable } from '@twinwatch/core/config/template-tag';
import { type ByteOrder, decodeValue, type RegisterType, registerWidth } from '@twinwatch/core/scada/registers';
import type { DraftTag } from './site-draft.js';

/** What registers may hold, judged by what they held. Pure. A guess: every tag says what was seen, for a person to compare. */

const ORDERS: readonly ByteOrder[] = ['ABCD', 'CDAB', 'BADC', 'DCBA'];
/** Measured values are of this size; a pair of small whole numbers read as a float is not. */
const SMALLEST = 1e-3;
const LARGEST = 1e7;
/** Of the places that are not 0, this share must look like floats, for any of them to be taken for one. */
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

type FloatType = 'FLOAT32' | 'FLOAT64';

interface Floats {
  readonly type: FloatType;
  readonly order: ByteOrder;
  /** Indexes at which one begins. */
  readonly places: ReadonlySet<number>;
  /** Registers of theirs that did not hold 0 all the time: what would be left unexplained without them. */
  readonly explains: number;
}

export function typedRun(run: RegisterRun, table: RegisterTable): TypedRun {
  const { address, passes } = run;
  const [first] = passes;
  const tags: DraftTag[] = [];
  if (first === undefined) return { tags, alwaysZero: 0 };
  const floats = floatsIn(run);
  let alwaysZero = 0;
  for (let i = 0; i < first.length; ) {
    if (floats?.places.has(i) === true) {
      const { order, type } = floats;
      tags.push({
        ...{ name: `${table}_${address + i}`, register: table, address: address + i, type },
        ...(order === 'ABCD' ? {} : { byte_order: order }),
        comment: `seen ${seen(run, i, type, order)}`,
      });
      i += registerWidth({ type });
      continue;
    }
    const counter = counterAt(run, i);
    if (counter !== null && floats?.places.has(i + 1) !== true) {
      tags.push({
        ...{ name: `${table}_${address + i}`, register: table, address: address + i, type: 'UINT32' },
        ...(counter === 'ABCD' ? {} : { byte_order: counter }),
        comment: `seen ${seen(run, i, 'UINT32', counter)}, carried from one register to the other`,
      });
      i += registerWidth({ type: 'UINT32' });
      continue;
    }
    const words = passes.map((pass) => pass[i]!);
    if (words.every((word) => word === 0)) alwaysZero++;
    else {
      // A whole number with its highest bit set is a small negative one more often than a large positive one.
      const type = words.some((word) => word >= 0x8000) ? 'INT16' : 'UINT16';
      tags.push({
        ...{ name: `${table}_${address + i}`, register: table, address: address + i, type },
        comment: `seen ${seen(run, i, type, 'ABCD')}${counterHint(run, i)}`,
      });
    }
    i++;
  }
  return { tags, alwaysZero };
}

/**
 * FLOAT64 only where it explains more than FLOAT32 does: the last bits of a measured value are as good as random, and make no measured value of their
 * own. A round one has zeros there, and cannot be told from a FLOAT32 beside registers of 0.
 */
function floatsIn(run: RegisterRun): Floats | null {
  const single = bestFloats(run, 'FLOAT32');
  const double = bestFloats(run, 'FLOAT64');
  return double !== null && double.explains > (single?.explains ?? 0) ? double : single;
}

/**
 * The order and the first place by which most places look like floats, and fewest do not; null where none convinces. Of equals the one that begins where
 * the registers do: where every float is so round that half of its registers are 0, nothing tells ABCD from CDAB one register further.
 */
function bestFloats({ passes }: RegisterRun, type: FloatType): Floats | null {
  const length = passes[0]?.length ?? 0;
  const width = registerWidth({ type });
  const isZero = (at: number) => passes.every((pass) => pass[at] === 0);
  let best: Floats | null = null;
  let bestScore = 0;
  for (let first = 0; first < width; first++)
    for (const order of ORDERS) {
      const places = new Set<number>();
      let used = 0;
      let explains = 0;
      for (let i = first; i + width <= length; i += width) {
        const busy = Array.from({ length: width }, (_, at) => i + at).filter((at) => !isZero(at));
        if (busy.length === 0) continue;
        used++;
        if (!passes.every((pass) => isMeasured(readAs(pass, i, type, order)))) continue;
        places.add(i);
        explains += busy.length;
      }
      // One place among others may look so by chance; of four whole numbers alone, one in twenty is a double in some order.
      const isEnough = places.size >= 2 || (type === 'FLOAT32' && places.size === 1 && length === width);
      const score = 2 * places.size - used;
      if (isEnough && places.size >= used * CONVINCING && score > bestScore) {
        best = { type, order, places, explains };
        bestScore = score;
      }
    }
  return best;
}

/** Most that a counter moves between two readings for a carry to be one: a lower half that merely falls, falls less far. */
const CARRY_STEP = 0x2000;

/** The order in which a register and the next are one counter, where a carry was seen: the lower half began anew just as the upper one rose by one. */
function counterAt({ passes }: RegisterRun, index: number): ByteOrder | null {
  if (index + 1 >= (passes[0]?.length ?? 0)) return null;
  const isCounter = (high: number, low: number) => {
    const steps = passes.slice(1).map((pass, i) => {
      const before = passes[i]!;
      const [highs, lows] = [pass[high]! - before[high]!, pass[low]! - before[low]!];
      return { step: highs * 0x10000 + lows, isCarry: highs === 1 && lows < 0 };
    });
    return steps.some(({ isCarry }) => isCarry) && steps.every(({ step }) => step >= 0 && step < CARRY_STEP);
  };
  if (isCounter(index, index + 1)) return 'ABCD';
  return isCounter(index + 1, index) ? 'CDAB' : null;
}

/** A register that only counts up beside one that stands still may be the low half of a wider counter; no reading proves it, so a person is told. */
function counterHint(run: RegisterRun, index: number): string {
  const at = (i: number) => run.passes.map((pass) => pass[i] ?? 0);
  const counts = at(index);
  const isCounting = counts.every((count, i) => i === 0 || count >= counts[i - 1]!) && counts.at(-1)! > counts[0]!;
  if (!isCounting) return '';
  const isHigh = (i: number) => at(i).every((word, _, [first]) => word === first && word > 0);
  const wide = (i: number, order: ByteOrder) =>
    `; perhaps UINT32${order === 'ABCD' ? '' : ` ${order}`} at ${run.address + i}: ${seen(run, i, 'UINT32', order)}`;
  return `${isHigh(index - 1) ? wide(index - 1, 'ABCD') : ''}${isHigh(index + 1) ? wide(index, 'CDAB') : ''}`;
}

function isMeasured(value: number): boolean {
  const size = Math.abs(value);
  return value === 0 || (size >= SMALLEST && size <= LARGEST);
}

function readAs(words: Uint16Array, index: number, type: RegisterType, byteOrder: ByteOrder): number {
  return decodeValue(words, index, { type, byteOrder, scale: 1, offset: 0, bit: 0 }).value;
}

function seen({ passes }: RegisterRun, index: number, type: RegisterType, order: ByteOrder): string {
  const values = passes.map((pass) =>
    String(Number(readAs(pass, index, type, order).toPrecision(type === 'UINT32' ? 10 : 6))),
  );
  return [...new Set(values)].join(', ');
}
