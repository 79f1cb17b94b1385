import { dirname, resolve } from 'node:path';
import { duration, durationBetween } from '@twinwatch/core/config/duration';
import { parseConfig } from '@twinwatch/core/config/load';
import type { Tag } from '@twinwatch/core/scada/tag';
import { z } from 'zod';
import { type AttackCatalogue, attackCatalogueSchema } from './attacks.js';

/** What a plant is, besides its network file: tags, PLCs, control rules, demands, and in what its instances differ from each other. */

const HOUR_MS = 3_600_000;

const name = z.string().regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/, {
  error: 'must start with a letter and hold only letters, digits, _ . -',
});
const range = (minimum: number, maximum: number) =>
  z
    .tuple([z.number().min(minimum).max(maximum), z.number().min(minimum).max(maximum)])
    .refine(([from, to]) => from <= to, { error: 'must be [smallest, largest]' });

const tagSchema = z.strictObject({
  name,
  unit: z.string().max(16).default(''),
  kind: z.enum(['analog', 'status']).default('analog'),
  /** Smallest change that means anything; floors the detector's scaler. */
  resolution: z.number().positive(),
  /** The PLC whose input or output this is. */
  plc: name,
  /** level and pressure are of a node, flow and status of a link. */
  measures: z.enum(['level', 'pressure', 'flow', 'status']),
  /** Id in the network file. */
  element: z.string().min(1),
  /** Standard deviation of the sensor's noise, in the tag's unit. */
  noise: z.number().min(0).default(0),
  /** The sensor reports whole multiples of this, in the tag's unit; 0 for any value. */
  quantum: z.number().min(0).default(0),
});

const condition = z
  .strictObject({ tag: name, below: z.number().optional(), above: z.number().optional() })
  .refine(({ below, above }) => (below === undefined) !== (above === undefined), {
    error: 'must have exactly one of below and above',
  });

const controlSchema = z.strictObject({
  plc: name,
  /** Pump or valve in the network file. */
  actuator: z.string().min(1),
  kind: z.enum(['pump', 'valve']).default('pump'),
  /** Without on and off the actuator stays as it is initially, and only an attack moves it. */
  on: condition.optional(),
  off: condition.optional(),
  /** Relative speed of a pump while it is on. */
  speed: z.number().min(0.1).max(2).default(1),
  initially: z.enum(['on', 'off']).default('off'),
});

const districtSchema = z.strictObject({
  name,
  /** Pattern in the network file by which the district's demands vary. */
  pattern: z.string().min(1),
  /** Instead of the file's: 24 (a day) or 168 (a week) multipliers, one an hour, from the plant's `start`. */
  multipliers: z
    .array(z.number().min(0))
    .refine(({ length }) => length === 24 || length === 168, { error: 'must be 24 or 168 numbers' })
    .optional(),
});

/** In what instances of the plant differ. Ranges are drawn from once an instance, evenly. */
const variationSchema = z.strictObject({
  /** Factor on all demands, and a further one on each district's. */
  demand: range(0.1, 10).default([0.95, 1.05]),
  district: range(0.1, 10).default([0.95, 1.05]),
  /** Standard deviation of the logarithm of demand, from day to day and within the day. */
  dayNoise: z.number().min(0).max(1).default(0.05),
  hourNoise: z.number().min(0).max(1).default(0.08),
  /** After this long the noise within the day has fallen to 1/e of its correlation. */
  hourCorrelation: duration.prefault('3h'),
  /** Share of the noise's variance that all districts have in common. */
  shared: z.number().min(0).max(1).default(0.5),
  /** Factor on the roughness coefficient of all pipes, and the standard deviation of a further one on each pipe's. */
  roughness: range(0.2, 5).default([0.93, 1.07]),
  pipeRoughness: z.number().min(0).max(0.5).default(0.03),
  /** Factor on each pump's speed, for wear. */
  pumpSpeed: range(0.5, 1.5).default([0.99, 1.01]),
  /** Factor on the noise of all sensors. */
  sensorNoise: range(0, 100).default([0.8, 1.2]),
  /** Levels at the start, as shares of the band between the control rules' lowest and highest threshold. */
  initialLevel: range(0, 1).default([0.1, 0.9]),
});

export const plantSchema = z
  .strictObject({
    name,
    /** EPANET input file, relative to this one. */
    network: z.string().min(1),
    /** Attack catalogue, relative to this file. */
    attacks: z.string().min(1).default('attacks.yaml'),
    /** Of SCADA rows. */
    interval: durationBetween('1m', '1h').prefault('15m'),
    /** Of hydraulics and of the PLCs' scans. */
    hydraulicStep: durationBetween('1m', '1h').prefault('5m'),
    /** Where demand patterns begin. */
    start: z.iso.datetime().default('2026-01-05T00:00:00Z'),
    tags: z.array(tagSchema).min(1),
    controls: z.array(controlSchema).min(1),
    districts: z.array(districtSchema).default([]),
    variation: variationSchema.prefault({}),
  })
  .superRefine((plant, context) => {
    for (const { path, message } of contradictions(plant)) context.addIssue({ code: 'custom', path, message });
  });

export type PlantConfig = z.output<typeof plantSchema>;
export type PlantTag = PlantConfig['tags'][number];
export type Control = PlantConfig['controls'][number];

function* contradictions(plant: {
  interval: number;
  hydraulicStep: number;
  tags: readonly PlantTag[];
  controls: readonly Control[];
  districts: readonly { name: string; pattern: string }[];
}): Generator<{ path: (string | number)[]; message: string }> {
  if (HOUR_MS % plant.interval !== 0) yield { path: ['interval'], message: 'must divide an hour' };
  if (plant.interval % plant.hydraulicStep !== 0)
    yield { path: ['hydraulicStep'], message: 'must divide the interval, so that a row falls on the end of a step' };
  const names = new Set<string>();
  for (const [i, tag] of plant.tags.entries()) {
    if (names.has(tag.name)) yield { path: ['tags', i, 'name'], message: `tag '${tag.name}' is there twice` };
    names.add(tag.name);
    if ((tag.kind === 'status') !== (tag.measures === 'status'))
      yield { path: ['tags', i, 'kind'], message: "is 'status' exactly where the tag measures status" };
  }
  const actuators = new Set<string>();
  for (const [i, control] of plant.controls.entries()) {
    const { on, off } = control;
    for (const [side, rule] of [
      ['on', on],
      ['off', off],
    ] as const)
      if (rule !== undefined && !names.has(rule.tag))
        yield { path: ['controls', i, side, 'tag'], message: 'is not one of the tags of this plant' };
    if (actuators.has(control.actuator))
      yield { path: ['controls', i, 'actuator'], message: `'${control.actuator}' already has a rule` };
    actuators.add(control.actuator);
    if ((on === undefined) !== (off === undefined))
      yield {
        path: ['controls', i, on === undefined ? 'off' : 'on'],
        message: 'has no counterpart: write on and off, or neither',
      };
    if (on?.tag === off?.tag && on && off && (on.below === undefined) === (off.below === undefined))
      yield { path: ['controls', i, 'off'], message: 'must look the other way than on: below and above' };
  }
  const patterns = new Set<string>();
  for (const [i, district] of plant.districts.entries()) {
    if (patterns.has(district.pattern))
      yield { path: ['districts', i, 'pattern'], message: `'${district.pattern}' already belongs to a district` };
    patterns.add(district.pattern);
  }
}

export interface LoadedPlant {
  readonly config: PlantConfig;
  /** Text of the EPANET input file. */
  readonly network: string;
  readonly attacks: AttackCatalogue;
}

/**
 * Reads plant.yaml at `path`, and the network and attack catalogue it names. `networkPath` replaces the network file it names.
 *
 * @throws TwinwatchError CONFIG_INVALID, CONFIG_UNREADABLE; what readFile throws.
 */
export async function loadPlant(
  path: string,
  readFile: (path: string) => Promise<string>,
  networkPath?: string,
): Promise<LoadedPlant> {
  const config = parseConfig(plantSchema, await readFile(path), path);
  const beside = (file: string) => resolve(dirname(path), file);
  const attacksPath = beside(config.attacks);
  const [network, attacks] = await Promise.all([
    readFile(networkPath ?? beside(config.network)),
    readFile(attacksPath).then((text) => parseConfig(attackCatalogueSchema, text, attacksPath)),
  ]);
  return { config, network, attacks };
}

/** The plant's tags as features and rows know them, in the order of the file. */
export function plantTags(config: PlantConfig): Tag[] {
  return config.tags.map(({ name, unit, kind, resolution }) => ({ name, unit, kind, resolution }));
}
