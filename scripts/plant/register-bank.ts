import type { DeviceTemplate } from '@twinwatch/core/config/device-template';
import { layoutOf, type RegisterTable } from '@twinwatch/core/config/template-tag';
import { encodeValue, isFloat, registerWidth } from '@twinwatch/core/scada/registers';

/** What one PLC holds in its four tables at one scan. */

const CLOCK_WORDS = 4;
const TABLES = ['coil', 'discrete', 'input', 'holding'] as const;

interface Table {
  readonly words: Uint16Array;
  /** 1 where a register exists. */
  readonly present: Uint8Array;
}

export interface Span {
  readonly table: RegisterTable;
  readonly address: number;
  readonly count: number;
}

export interface RegisterBank {
  /** Where each tag is, in the order of the template. */
  readonly tags: readonly Span[];
  readonly clock: Span | null;
  /** Puts a scan's values [tags of the template, in its order] and its clock into the registers. */
  write(values: ArrayLike<number>, sequence: number, timeMs: number): void;
  /** Registers or bits of the span, or null where one of them does not exist. */
  read(span: Span): Uint16Array | null;
}

/** Empty registers for a device that serves `template`. */
export function createRegisterBank(template: DeviceTemplate): RegisterBank {
  const tags = template.tags.map((tag) => ({
    table: tag.register,
    address: tag.address,
    count: registerWidth(layoutOf(tag)),
  }));
  const clock =
    template.clock === undefined
      ? null
      : { table: template.clock.register, address: template.clock.address, count: CLOCK_WORDS };
  const tables = layOut(clock === null ? tags : [clock, ...tags]);
  const layouts = template.tags.map(layoutOf);
  // A recording may lack a value; a float says so with NaN, the other types go on with what they had, as a PLC does.
  const held = new Float64Array(tags.length);

  const put = (span: Span, words: ArrayLike<number>) => {
    tables[span.table].words.set(words, span.address);
  };
  return {
    tags,
    clock,
    write(values, sequence, timeMs) {
      // Bits share registers, so they are put in with OR, from zero.
      for (const table of TABLES) tables[table].words.fill(0);
      for (const [i, span] of tags.entries()) {
        const value = values[i] ?? Number.NaN;
        const layout = layouts[i]!;
        // Letters are no numbers of a recording; they stay empty.
        if (layout.type === 'STRING') continue;
        if (isFloat(layout.type) || !Number.isNaN(value)) held[i] = value;
        const words = encodeValue(held[i]!, layout);
        if (words.length === 1) tables[span.table].words[span.address]! |= words[0]!;
        else put(span, words);
      }
      if (clock === null) return;
      const seconds = Math.round(timeMs / 1000);
      put(clock, [
        (sequence >>> 16) & 0xffff,
        sequence & 0xffff,
        Math.floor(seconds / 0x10000) & 0xffff,
        seconds % 0x10000,
      ]);
    },
    read(span) {
      const { words, present } = tables[span.table];
      const end = span.address + span.count;
      if (end > present.length) return null;
      for (let i = span.address; i < end; i++) if (present[i] === 0) return null;
      return words.subarray(span.address, end);
    },
  };
}

function layOut(spans: readonly Span[]): Record<RegisterTable, Table> {
  const sized = (name: RegisterTable): Table => {
    const own = spans.filter(({ table }) => table === name);
    const size = Math.max(0, ...own.map(({ address, count }) => address + count));
    const present = new Uint8Array(size);
    for (const { address, count } of own) present.fill(1, address, address + count);
    return { words: new Uint16Array(size), present };
  };
  return { coil: sized('coil'), discrete: sized('discrete'), input: sized('input'), holding: sized('holding') };
}
