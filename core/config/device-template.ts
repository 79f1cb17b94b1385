import { z } from 'zod';
import { isFloat } from '../scada/registers.js';
import type { Tag } from '../scada/tag.js';
import { type Contradiction, crossCheck, type Sound } from './cross-check.js';
import { type CheckedConfig, checkConfig } from './load.js';
import { declaredUnits, unitProblem } from './tag-unit.js';
import { expandTemplate, type ParameterValue, templateParameters } from './template-parameters.js';
import {
  ADDRESS_MAX,
  addressField,
  fieldsOfOneTag,
  fromReference,
  isBitTable,
  overlaps,
  type RegisterTable,
  type Span,
  spanOf,
  type TemplateTag,
  tagInterval,
  templateTag,
} from './template-tag.js';

/**
 * What a Modbus device serves and where: read by the agent to poll it, and by the plant simulator to be it. Field names are
 * those of Telegraf's modbus plugin. Addresses are zero-based, as on the wire, unless the file says otherwise.
 */

const CLOCK_WORDS = 4;
const LONGEST_GAP = 100;
const MAXIMUM_REGISTERS = 125;

/** Zero-based whatever the file's notation is; null where the address is not one. */
function zeroBased(notation: string | undefined, table: RegisterTable, address: number): number | null {
  if (notation === 'reference') return fromReference(table, address);
  return address <= ADDRESS_MAX ? address : null;
}

function addressProblem(notation: string | undefined, table: RegisterTable, address: number): string | null {
  if (zeroBased(notation, table, address) !== null) return null;
  return notation === 'reference'
    ? `is not a reference of a ${table}; in this notation ${table} registers begin at ${{ coil: 1, discrete: 10_001, input: 30_001, holding: 40_001 }[table]}`
    : "is not an address; they end at 65535. For references as in manuals, 40001 and on, write addresses: 'reference' above tags";
}

const written = z.strictObject({
  addresses: z.enum(['zero-based', 'reference']).default('zero-based').meta({
    description:
      "how this file writes addresses: zero-based, as on the wire, or reference, as manuals do: 40001 (or 400001) is holding 0. Never guessed from an address' looks",
  }),
  clock: z
    .strictObject({
      register: z.enum(['input', 'holding']).meta({ description: 'table of the four registers' }),
      address: addressField.meta({ description: 'zero-based address of the first' }),
    })
    .optional()
    .meta({
      description:
        'four registers of a device that scans in steps: a scan counter (UINT32), then the time of the scan in seconds since 1970 (UINT32), both big endian',
    }),
  maximumRegisters: z.int().min(1).max(MAXIMUM_REGISTERS).default(MAXIMUM_REGISTERS).meta({
    description: 'most registers one read may ask for, for devices that allow fewer than the 125 of the standard',
  }),
  maximumBits: z.int().min(1).max(2_000).default(2_000).meta({
    description: 'most coils or discrete inputs one read may ask for, for devices that allow fewer than the standard',
  }),
  mergeGap: z.int().min(0).max(LONGEST_GAP).default(0).meta({
    description:
      'unused registers between two tags that are read along rather than asking twice. Only for devices that answer for them; one that refuses is asked in halves from then on',
  }),
  groups: z
    .record(z.string(), tagInterval)
    .optional()
    .meta({ description: 'named intervals, for tags that are read at their own: { fast: 200ms, slow: 1m }' }),
  source: z.string().optional().meta({ description: 'where the register map is from: manual, edition, page' }),
  parameters: templateParameters,
  units: declaredUnits,
  tags: z.array(templateTag).min(1).meta({ description: 'what the device serves, and where' }),
});

/** Spans by the registers that they take: a template may have thousands of tags. */
class PlacedSpans {
  readonly #byRegister = new Map<string, Span[]>();

  add(span: Span): void {
    for (let at = span.start; at < span.end; at++) {
      const here = this.#byRegister.get(`${span.table} ${at}`);
      if (here === undefined) this.#byRegister.set(`${span.table} ${at}`, [span]);
      else here.push(span);
    }
  }

  /** One that was added before and takes some of the same bits. */
  overlapping(span: Span): Span | undefined {
    for (let at = span.start; at < span.end; at++) {
      const taken = this.#byRegister.get(`${span.table} ${at}`)?.find((other) => overlaps(span, other));
      if (taken !== undefined) return taken;
    }
    return undefined;
  }
}

/** What one field cannot say alone: types against tables, spans against the end of the table and against each other, units against the file's own. */
function* contradictions(template: Sound<z.infer<typeof written>>): Generator<Contradiction> {
  const spans = new PlacedSpans();
  const { addresses } = template;
  const { register, address: start } = template.clock ?? {};
  if (register !== undefined && start !== undefined) {
    const problem = addressProblem(addresses, register, start);
    if (problem !== null) yield { path: ['clock', 'address'], message: problem };
    const first = zeroBased(addresses, register, start) ?? 0;
    if (problem === null)
      spans.add({ table: register, start: first, end: first + CLOCK_WORDS, mask: null, owner: 'the clock' });
    if (problem === null && first + CLOCK_WORDS > ADDRESS_MAX + 1)
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
    if (tag.group !== undefined && template.groups?.[tag.group] === undefined)
      yield at('group', `'${tag.group}' is not one of the template's groups; declare it under groups`);
    if (template.clock !== undefined && (tag.interval ?? tag.group) !== undefined)
      yield at('interval', 'a device with a clock is read whole, scan by scan; leave out interval and group');
    const unit = unitProblem(tag.unit, template.units);
    if (unit !== null) yield at('unit', unit);
    const span = spanOf(tag, `tag ${i + 1}`);
    if (span === null) continue;
    const problem = addressProblem(addresses, span.table, span.start);
    if (problem !== null) {
      yield at('address', problem);
      continue;
    }
    const limit = template.maximumRegisters ?? MAXIMUM_REGISTERS;
    if (!isBitTable(span.table) && span.end - span.start > limit)
      yield at('type', `a ${tag.type} has more registers than one read may ask for, which is ${limit}`);
    const shift = zeroBased(addresses, span.table, span.start)! - span.start;
    const placed = { ...span, start: span.start + shift, end: span.end + shift };
    if (placed.end > ADDRESS_MAX + 1) yield at('address', `a ${tag.type} at ${tag.address} runs past 65535`);
    const taken = spans.overlapping(placed);
    if (taken !== undefined)
      yield at('address', `${tag.register} ${tag.address} overlaps ${taken.owner} at ${taken.start}–${taken.end - 1}`);
    spans.add(placed);
  }
}

/**
 * A device template file. `clock` names four registers that a device which scans in steps may serve, all big endian:
 * a scan counter as UINT32 at address+0..1, and the scan's time in seconds since 1970 (UTC) as UINT32 at address+2..3.
 * An agent reads the clock, then every tag, then the clock again: the same counter twice proves that the values belong to it.
 * What comes out has zero-based addresses, whatever notation the file has.
 */
export const deviceTemplateSchema = written.check(crossCheck(contradictions)).transform((template) => {
  if (template.addresses === 'zero-based') return template;
  const { clock } = template;
  const placed = (table: RegisterTable, address: number) => zeroBased(template.addresses, table, address) ?? address;
  return {
    ...template,
    addresses: 'zero-based' as const,
    ...(clock === undefined ? {} : { clock: { ...clock, address: placed(clock.register, clock.address) } }),
    tags: template.tags.map((tag) => ({ ...tag, address: placed(tag.register, tag.address) })),
  };
});

export type DeviceTemplate = z.infer<typeof deviceTemplateSchema>;

/**
 * A template's text, filled in with what a device gives, and checked. The same file serves any number of devices.
 * @param device null where the file is looked at on its own.
 * @throws TwinwatchError CONFIG_UNREADABLE where the text is not YAML.
 */
export function checkDeviceTemplate(
  text: string,
  fileName: string,
  device: string | null,
  given: Readonly<Record<string, ParameterValue>>,
): CheckedConfig<typeof deviceTemplateSchema> {
  return checkConfig(deviceTemplateSchema, text, fileName, (root) => expandTemplate(root, device, given));
}

/** The template's tags in the order of the file, as features and rows know them: those that hold letters are not among them. */
export function templateTags(template: DeviceTemplate): Tag[] {
  return template.tags
    .filter(({ type }) => type !== 'STRING')
    .map((tag) => ({
      name: tag.name,
      unit: tag.unit,
      kind: tag.kind ?? (tag.type === 'BIT' ? 'status' : 'analog'),
      resolution: tag.resolution ?? defaultResolution(tag),
    }));
}

function defaultResolution(tag: TemplateTag): number {
  if (tag.type === 'BIT') return 1;
  return isFloat(tag.type) ? 0.01 : Math.abs(tag.scale);
}
