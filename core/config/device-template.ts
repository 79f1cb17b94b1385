import { z } from 'zod';
import { type RegisterLayout, registerWidth } from '../scada/registers.js';
import type { Tag } from '../scada/tag.js';
import { type Contradiction, crossCheck, type Sound } from './cross-check.js';
import { declaredUnits, tagUnit, unitProblem } from './tag-unit.js';

/**
 * What a Modbus device serves and where: read by the agent to poll it, and by the plant simulator to be it. Field names are
 * those of Telegraf's modbus plugin. Addresses are zero-based, as on the wire.
 */

const ADDRESS_MAX = 65_535;
const CLOCK_WORDS = 4;
const TABLES = ['coil', 'discrete', 'input', 'holding'] as const;
const address = z.int().min(0).max(ADDRESS_MAX);

/** Modbus tables: coil and discrete hold bits, input and holding hold 16-bit registers. */
export type RegisterTable = (typeof TABLES)[number];

const templateTag = z.strictObject({
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
  address: address.meta({ description: 'zero-based, as on the wire: 40001 in manuals is holding 0' }),
  type: z
    .enum(['BIT', 'INT16', 'UINT16', 'INT32', 'UINT32', 'INT64', 'UINT64', 'FLOAT32', 'FLOAT64'])
    .meta({ description: 'how the registers are to be read' }),
  byte_order: z.enum(['ABCD', 'CDAB', 'BADC', 'DCBA']).default('ABCD').meta({
    description: 'order of bytes in a value of several registers; ABCD is big endian, CDAB has its words swapped',
  }),
  scale: z
    .number()
    .refine((scale) => scale !== 0, { error: 'must not be 0' })
    .default(1)
    .meta({ description: 'value = raw · scale + offset' }),
  offset: z.number().default(0).meta({ description: 'value = raw · scale + offset' }),
  bit: z.int().min(0).max(15).optional().meta({
    description: 'which bit of the register, for a BIT in a holding or input register; 0 is the least significant',
  }),
  minimum: z
    .number()
    .optional()
    .meta({ description: "values outside are bad: NaN in the row, reason OUT_OF_RANGE. In the tag's unit" }),
  maximum: z.number().optional().meta({ description: "values above are bad, in the tag's unit" }),
});

export type TemplateTag = z.infer<typeof templateTag>;

interface Span {
  readonly table: RegisterTable;
  readonly start: number;
  readonly end: number;
  readonly bit: number | null;
  readonly owner: string;
}

/** Null where the tag's table, address or type is wrong. A tag without a name is called by its place. */
function spanOf({ name, register: table, address: start, type, bit }: Sound<TemplateTag>, owner: string): Span | null {
  if (table === undefined || start === undefined || type === undefined) return null;
  const bits = table === 'coil' || table === 'discrete';
  return {
    ...{ table, start, end: start + registerWidth(type), owner: name ?? owner },
    bit: type === 'BIT' && !bits ? (bit ?? 0) : null,
  };
}

function overlaps(a: Span, b: Span): boolean {
  if (a.table !== b.table || a.start >= b.end || b.start >= a.end) return false;
  return a.bit === null || b.bit === null || a.bit === b.bit;
}

/** What one field cannot say alone: types against tables, spans against the end of the table and against each other, units against the file's own. */
function* contradictions(template: Sound<DeviceTemplate>): Generator<Contradiction> {
  const spans: Span[] = [];
  const { register, address: start } = template.clock ?? {};
  if (register !== undefined && start !== undefined) {
    spans.push({ table: register, start, end: start + CLOCK_WORDS, bit: null, owner: 'the clock' });
    if (start + CLOCK_WORDS > ADDRESS_MAX + 1)
      yield { path: ['clock', 'address'], message: 'the clock runs past 65535' };
  }
  const names = new Set<string>();
  for (const [i, tag] of (template.tags ?? []).entries()) {
    if (tag === undefined) continue;
    const at = (field: string, message: string) => ({ path: ['tags', i, field], message });
    if (tag.name !== undefined && names.has(tag.name))
      yield at('name', `tag '${tag.name}' is there twice; tag names are unique in a site`);
    if (tag.name !== undefined) names.add(tag.name);
    yield* fieldsOfOneTag(tag, at);
    const unit = unitProblem(tag.unit, template.units);
    if (unit !== null) yield at('unit', unit);
    const span = spanOf(tag, `tag ${i + 1}`);
    if (span === null) continue;
    if (span.end > ADDRESS_MAX + 1) yield at('address', `a ${tag.type} at ${tag.address} runs past 65535`);
    const taken = spans.find((other) => overlaps(span, other));
    if (taken !== undefined)
      yield at('address', `${tag.register} ${tag.address} overlaps ${taken.owner} at ${taken.start}–${taken.end - 1}`);
    spans.push(span);
  }
}

function* fieldsOfOneTag(
  { register, type, bit, scale = 1, offset = 0, minimum, maximum }: Sound<TemplateTag>,
  at: (field: string, message: string) => Contradiction,
): Generator<Contradiction> {
  const bitTable = register === 'coil' || register === 'discrete';
  if (bitTable && type !== undefined && type !== 'BIT')
    yield at('type', `a ${register} holds bits; write type: BIT, or another register`);
  if (bit !== undefined && type !== undefined && (type !== 'BIT' || bitTable))
    yield at('bit', 'only a BIT in a holding or input register has a bit number; leave it out');
  if (type === 'BIT' && (scale !== 1 || offset !== 0)) yield at('scale', 'a BIT is 0 or 1; leave out scale and offset');
  if (minimum !== undefined && maximum !== undefined && minimum >= maximum)
    yield at('minimum', 'must be below maximum');
}

/**
 * A device template file. `clock` names four registers that a device which scans in steps may serve, all big endian:
 * a scan counter as UINT32 at address+0..1, and the scan's time in seconds since 1970 (UTC) as UINT32 at address+2..3.
 * An agent reads the clock, then every tag, then the clock again: the same counter twice proves that the values belong to it.
 */
export const deviceTemplateSchema = z
  .strictObject({
    clock: z
      .strictObject({
        register: z.enum(['input', 'holding']).meta({ description: 'table of the four registers' }),
        address: address.meta({ description: 'zero-based address of the first' }),
      })
      .optional()
      .meta({
        description:
          'four registers of a device that scans in steps: a scan counter (UINT32), then the time of the scan in seconds since 1970 (UINT32), both big endian',
      }),
    maximumRegisters: z.int().min(4).max(125).default(125).meta({
      description: 'most registers one read may ask for, for devices that allow fewer than the 125 of the standard',
    }),
    units: declaredUnits,
    tags: z.array(templateTag).min(1).meta({ description: 'what the device serves, and where' }),
  })
  .check(crossCheck(contradictions));

export type DeviceTemplate = z.infer<typeof deviceTemplateSchema>;

/** The template's tags in the order of the file, as features and rows know them. */
export function templateTags(template: DeviceTemplate): Tag[] {
  return template.tags.map((tag) => ({
    name: tag.name,
    unit: tag.unit,
    kind: tag.kind ?? (tag.type === 'BIT' ? 'status' : 'analog'),
    resolution: tag.resolution ?? defaultResolution(tag),
  }));
}

function defaultResolution(tag: TemplateTag): number {
  if (tag.type === 'BIT') return 1;
  return tag.type === 'FLOAT32' || tag.type === 'FLOAT64' ? 0.01 : Math.abs(tag.scale);
}

/** How the tag's registers decode; a coil or discrete input is read as a register of 0 or 1. */
export function layoutOf(tag: TemplateTag): RegisterLayout {
  return { type: tag.type, byteOrder: tag.byte_order, scale: tag.scale, offset: tag.offset, bit: tag.bit ?? 0 };
}
