import { z } from 'zod';
import { neverRead, REGISTER_TYPES, type RegisterLayout, registerWidth } from '../scada/registers.js';
import type { Contradiction, Sound } from './cross-check.js';
import { durationBetween } from './duration.js';
import { tagUnit } from './tag-unit.js';

/** One tag of a device template: what it is, and where and how the device serves it. Field names are those of Telegraf's modbus plugin. */

const TABLES = ['coil', 'discrete', 'input', 'holding'] as const;
export const ADDRESS_MAX = 65_535;
const REGISTER_BITS = 16;
/** As manuals write them: 40001 or, with six digits, 400001 for holding 0. */
const REFERENCE_MAX = 465_536;

/** Modbus tables: coil and discrete hold bits, input and holding hold 16-bit registers. */
export type RegisterTable = (typeof TABLES)[number];

export const addressField = z.int().min(0).max(REFERENCE_MAX);

export const tagInterval = durationBetween('10ms', '1d');

export const templateTag = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/, {
      error: 'must start with a letter and hold only letters, digits, _ . -',
    })
    .meta({ description: 'name of the tag, unique in a site' }),
  unit: tagUnit,
  kind: z.enum(['analog', 'status']).optional().meta({ description: "'status' where type is BIT, 'analog' otherwise" }),
  resolution: z.number().positive().optional().meta({
    description:
      "smallest change that means anything, in the tag's unit. 1 for a BIT, |scale| for an integer, 0.01 for a float",
  }),
  register: z
    .enum(TABLES)
    .meta({ description: 'Modbus table: coil and discrete hold bits, input and holding hold 16-bit registers' }),
  address: addressField.meta({
    description: "zero-based, as on the wire: 40001 in manuals is holding 0. See also 'addresses'",
  }),
  type: z.enum(REGISTER_TYPES).meta({
    description:
      'how the registers are to be read. BIT is one bit, BITS a field of several, 8L and 8H a low or high byte, BCD16 and BCD32 four and eight decimal digits; a STRING is shown, and feeds no detector',
  }),
  byte_order: z.enum(['ABCD', 'CDAB', 'BADC', 'DCBA']).default('ABCD').meta({
    description: 'order of bytes in a value of several registers; ABCD is big endian, CDAB has its words swapped',
  }),
  scale: z
    .number()
    .refine((scale) => scale !== 0, { error: 'must not be 0' })
    .default(1)
    .meta({ description: 'value = raw · scale + offset' }),
  offset: z.number().default(0).meta({ description: 'value = raw · scale + offset' }),
  bit: z
    .int()
    .min(0)
    .max(REGISTER_BITS - 1)
    .optional()
    .meta({
      description:
        'which bit of the register, for a BIT or the first of BITS in a holding or input register; 0 is the least significant',
    }),
  bits: z.int().min(2).max(REGISTER_BITS).optional().meta({ description: 'how many bits BITS have' }),
  length: z.int().min(1).max(125).optional().meta({ description: 'how many registers a STRING has, two letters each' }),
  invalid: z.array(z.number()).min(1).optional().meta({
    description:
      'raw values, before scale and offset, with which the device says that it has none: [32767] or [-9999]; quality bad, reason INVALID',
  }),
  minimum: z
    .number()
    .optional()
    .meta({ description: "values outside are bad: NaN in the row, reason OUT_OF_RANGE. In the tag's unit" }),
  maximum: z.number().optional().meta({ description: "values above are bad, in the tag's unit" }),
  deadband: z.number().min(0).optional().meta({
    description:
      "telemetry tells a new value only where it differs by more than this, in the tag's unit; any change without it",
  }),
  interval: tagInterval.optional().meta({ description: "how often it is read; the agent's poll.every without it" }),
  group: z.string().optional().meta({ description: "instead of interval: one of the template's groups" }),
  repeat: z.int().min(0).max(1_000).optional().meta({
    description:
      'so many tags of this kind; the text ${i} in its fields counts them from 0. The tags need names of their own',
  }),
});

export type TemplateTag = z.infer<typeof templateTag>;

/** How the tag's registers decode; a coil or discrete input is read as a register of 0 or 1. */
export function layoutOf(tag: TemplateTag): RegisterLayout {
  const { type, byte_order: byteOrder, scale, offset, bit = 0, bits, length, invalid } = tag;
  return {
    ...{ type, byteOrder, scale, offset, bit },
    ...(bits === undefined ? {} : { bits }),
    ...(length === undefined ? {} : { length }),
    ...(invalid === undefined ? {} : { invalid }),
  };
}

export interface Span {
  readonly table: RegisterTable;
  readonly start: number;
  readonly end: number;
  /** Of the bits of a register that a tag takes, where it does not take all: one bit in each, as in a mask. */
  readonly mask: number | null;
  readonly owner: string;
}

const BYTE_MASK: Readonly<Record<string, number>> = { INT8L: 0xff, UINT8L: 0xff, INT8H: 0xff00, UINT8H: 0xff00 };

/** Null where the tag's table, address or type is wrong. A tag without a name is called by its place. */
export function spanOf(tag: Sound<TemplateTag>, owner: string): Span | null {
  const { name, register: table, address: start, type, length, bit = 0, bits = 1 } = tag;
  if (table === undefined || start === undefined || type === undefined) return null;
  const isPart = (type === 'BIT' || type === 'BITS') && !isBitTable(table);
  const width = registerWidth({ type, ...(length === undefined ? {} : { length }) });
  return {
    ...{ table, start, end: start + width, owner: name ?? owner },
    mask: isPart ? (2 ** (type === 'BITS' ? bits : 1) - 1) << bit : (BYTE_MASK[type] ?? null),
  };
}

export function overlaps(a: Span, b: Span): boolean {
  if (a.table !== b.table || a.start >= b.end || b.start >= a.end) return false;
  return a.mask === null || b.mask === null || (a.mask & b.mask) !== 0;
}

export function isBitTable(table: RegisterTable): boolean {
  return table === 'coil' || table === 'discrete';
}

/** What the fields of one tag say against each other. */
export function* fieldsOfOneTag(
  tag: Sound<TemplateTag>,
  at: (field: string, message: string) => Contradiction,
): Generator<Contradiction> {
  const { register, type, bit, bits, length, scale = 1, offset = 0, minimum, maximum } = tag;
  const bitTable = register !== undefined && isBitTable(register);
  if (bitTable && type !== undefined && type !== 'BIT')
    yield at('type', `a ${register} holds bits; write type: BIT, or another register`);
  if (bit !== undefined && type !== undefined && ((type !== 'BIT' && type !== 'BITS') || bitTable))
    yield at('bit', 'only a BIT or BITS in a holding or input register has a bit number; leave it out');
  if (type === 'BITS' && bits === undefined) yield at('bits', 'BITS need a number of bits, from 2 to 16');
  if (type !== undefined && type !== 'BITS' && bits !== undefined)
    yield at('bits', `only BITS have a number of bits; write type: BITS, or leave it out`);
  if ((bit ?? 0) + (bits ?? 1) > REGISTER_BITS) yield at('bits', 'run past bit 15 of the register');
  if (type === 'STRING' && length === undefined) yield at('length', 'a STRING needs a number of registers');
  if (type !== undefined && type !== 'STRING' && length !== undefined)
    yield at('length', `only a STRING has a length; a ${type} has one of its own`);
  if ((type === 'BIT' || type === 'STRING') && (scale !== 1 || offset !== 0))
    yield at('scale', type === 'BIT' ? 'a BIT is 0 or 1; leave out scale and offset' : 'a STRING has no scale');
  for (const raw of tag.invalid ?? []) {
    const why =
      type === undefined || raw === undefined
        ? null
        : neverRead(raw, { type, ...(bits === undefined ? {} : { bits }) });
    if (why !== null) yield at('invalid', `${why}; give raw values as the type reads them, 65535 of an INT16 as -1`);
  }
  if (minimum !== undefined && maximum !== undefined && minimum >= maximum)
    yield at('minimum', 'must be below maximum');
  if (tag.interval !== undefined && tag.group !== undefined)
    yield at('group', 'and interval are two answers to one question; keep one');
}

const REFERENCE_DIGIT: Readonly<Record<RegisterTable, number>> = { coil: 0, discrete: 1, input: 3, holding: 4 };

/**
 * The zero-based address of a reference as manuals write it, 40001 or 400001 for holding 0.
 * Null where it is not one of that table.
 */
export function fromReference(table: RegisterTable, reference: number): number | null {
  const digit = REFERENCE_DIGIT[table];
  // Five digits reach 9999 addresses of a table; with six, all of them.
  for (const base of [digit * 10_000, digit * 100_000]) {
    const zeroBased = reference - base - 1;
    const last = base === digit * 10_000 && digit > 0 ? 9_998 : ADDRESS_MAX;
    if (zeroBased >= 0 && zeroBased <= last) return zeroBased;
  }
  return null;
}
