import { dirname, resolve } from 'node:path';
import { duration, durationBetween } from '@twinwatch/core/config/duration';
import { parseConfig } from '@twinwatch/core/config/load';
import type { Tag } from '@twinwatch/core/scada/tag';
import { z } from 'zod';
import { type AttackCatalogue, attackCatalogueSchema } from './attacks.js';
import { demandFileSchema, toDemandFit, withDemands } from './demand/demand-file.js';

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
  name: name.meta({ description: 'name of the tag' }),
  unit: z.string().max(16).default('').meta({ description: "engineering unit: 'm', 'L/s', 'bar'" }),
  kind: z.enum(['analog', 'status']).default('analog').meta({ description: 'status: 0 or 1' }),
  resolution: z
    .number()
    .positive()
    .meta({ description: "smallest change that means anything; floors the detector's scaler" }),
  plc: name.meta({ description: 'the PLC whose input or output this is' }),
  measures: z
    .enum(['level', 'pressure', 'flow', 'status'])
    .meta({ description: 'level and pressure are of a node, flow and status of a link' }),
  element: z.string().min(1).meta({ description: 'id in the network file' }),
  noise: z
    .number()
    .min(0)
    .default(0)
    .meta({ description: "standard deviation of the sensor's noise, in the tag's unit" }),
  quantum: z
    .number()
    .min(0)
    .default(0)
    .meta({ description: "the sensor reports whole multiples of this, in the tag's unit; 0 for any value" }),
});

const condition = z
  .strictObject({
    tag: name.meta({ description: 'as its PLC sees it' }),
    below: z.number().optional().meta({ description: 'holds while the tag is below this, in its unit' }),
    above: z.number().optional().meta({ description: 'holds while the tag is above this, in its unit' }),
  })
  .refine(({ below, above }) => (below === undefined) !== (above === undefined), {
    error: 'must have exactly one of below and above',
  });

const controlSchema = z.strictObject({
  plc: name.meta({ description: 'the PLC that runs this rule' }),
  actuator: z.string().min(1).meta({ description: 'pump or valve in the network file' }),
  kind: z.enum(['pump', 'valve']).default('pump').meta({ description: 'what the actuator is' }),
  on: condition
    .optional()
    .meta({ description: 'without on and off the actuator stays as it is initially, and only an attack moves it' }),
  off: condition.optional().meta({ description: 'condition that switches it off' }),
  speed: z.number().min(0.1).max(2).default(1).meta({ description: 'relative speed of a pump while it is on' }),
  initially: z.enum(['on', 'off']).default('off').meta({ description: 'state at the start' }),
});

const districtSchema = z.strictObject({
  name: name.meta({ description: 'name of the district' }),
  pattern: z.string().min(1).meta({ description: "pattern in the network file by which the district's demands vary" }),
  multipliers: z
    .array(z.number().min(0))
    .refine(({ length }) => length === 24 || length === 168, { error: 'must be 24 or 168 numbers' })
    .optional()
    .meta({
      description:
        "instead of the file's: 24 (a day) or 168 (a week) multipliers, one an hour, from the plant's `start`",
    }),
});

/** In what instances of the plant differ. Ranges are drawn from once an instance, evenly. */
const variationSchema = z.strictObject({
  demand: range(0.1, 10)
    .default([0.95, 1.05])
    .meta({ description: "factor on all demands, and a further one on each district's" }),
  district: range(0.1, 10)
    .default([0.95, 1.05])
    .meta({ description: 'a further factor on the demand of each district' }),
  dayNoise: z
    .number()
    .min(0)
    .max(1)
    .default(0.05)
    .meta({ description: 'standard deviation of the logarithm of demand, from day to day and within the day' }),
  hourNoise: z
    .number()
    .min(0)
    .max(1)
    .default(0.08)
    .meta({ description: 'standard deviation of the logarithm of demand within the day' }),
  hourCorrelation: duration
    .prefault('3h')
    .meta({ description: 'after this long the noise within the day has fallen to 1/e of its correlation' }),
  shared: z
    .number()
    .min(0)
    .max(1)
    .default(0.5)
    .meta({ description: "share of the noise's variance that all districts have in common" }),
  season: range(0, 1)
    .default([0, 0])
    .meta({ description: 'amplitude of the season in the logarithm of demand, which goes up and down once a year' }),
  seasonPeak: z
    .number()
    .min(0)
    .max(366)
    .optional()
    .meta({ description: 'day of the year with the most demand; drawn at random where absent' }),
  roughness: range(0.2, 5).default([0.93, 1.07]).meta({
    description:
      "factor on the roughness coefficient of all pipes, and the standard deviation of a further one on each pipe's",
  }),
  pipeRoughness: z
    .number()
    .min(0)
    .max(0.5)
    .default(0.03)
    .meta({ description: 'standard deviation of a further factor on the roughness of each pipe' }),
  pumpSpeed: range(0.5, 1.5).default([0.99, 1.01]).meta({ description: "factor on each pump's speed, for wear" }),
  sensorNoise: range(0, 100).default([0.8, 1.2]).meta({ description: 'factor on the noise of all sensors' }),
  initialLevel: range(0, 1).default([0.1, 0.9]).meta({
    description: "levels at the start, as shares of the band between the control rules' lowest and highest threshold",
  }),
});

export const plantSchema = z
  .strictObject({
    name: name.meta({ description: 'name of the plant' }),
    network: z.string().min(1).meta({ description: 'EPANET input file, relative to this one' }),
    attacks: z.string().min(1).default('attacks.yaml').meta({ description: 'attack catalogue, relative to this file' }),
    demands: z
      .string()
      .min(1)
      .optional()
      .meta({ description: 'fitted demands, relative to this file: what `twinwatch fit-demands` writes' }),
    interval: durationBetween('1m', '1h').prefault('15m').meta({ description: 'of SCADA rows' }),
    hydraulicStep: durationBetween('1m', '15m')
      .prefault('5m')
      .meta({ description: "of hydraulics and of the PLCs' scans" }),
    start: z.iso.datetime().default('2026-01-05T00:00:00Z').meta({ description: 'where demand patterns begin' }),
    tags: z.array(tagSchema).min(1).meta({ description: 'what is measured, where, and by which PLC' }),
    controls: z.array(controlSchema).min(1).meta({ description: 'what the PLCs do' }),
    districts: z
      .array(districtSchema)
      .default([])
      .meta({ description: 'parts of the network whose demands vary together' }),
    variation: variationSchema
      .prefault({})
      .meta({ description: 'in what instances of the plant differ; ranges are drawn from once an instance, evenly' }),
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
 * Reads plant.yaml at `path`, and the network, attack catalogue and fitted demands it names. `networkPath` replaces the network file it names.
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
  const demandsPath = config.demands === undefined ? null : beside(config.demands);
  const [network, attacks, demands] = await Promise.all([
    readFile(networkPath ?? beside(config.network)),
    readFile(attacksPath).then((text) => parseConfig(attackCatalogueSchema, text, attacksPath)),
    demandsPath === null
      ? null
      : readFile(demandsPath).then((text) => toDemandFit(parseConfig(demandFileSchema, text, demandsPath))),
  ]);
  return { config: demands === null ? config : withDemands(config, demands), network, attacks };
}

/** The plant's tags as features and rows know them, in the order of the file. */
export function plantTags(config: PlantConfig): Tag[] {
  return config.tags.map(({ name, unit, kind, resolution }) => ({ name, unit, kind, resolution }));
}
