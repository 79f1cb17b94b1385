import { dirname, resolve } from 'node:path';
import { type Contradiction, crossCheck, type Sound } from '@twinwatch/core/config/cross-check';
import { duration, durationBetween } from '@twinwatch/core/config/duration';
import {
  type CheckedConfig,
  type ConfigProblem,
  checkConfig,
  invalidConfig,
  problemsOf,
} from '@twinwatch/core/config/load';
import { nearest } from '@twinwatch/core/config/nearest';
import { declaredUnits, tagUnit, unitProblem } from '@twinwatch/core/config/tag-unit';
import type { ControlRule } from '@twinwatch/core/features/spec';
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
  unit: tagUnit,
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
    units: declaredUnits,
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
  .check(crossCheck(contradictions));

export type PlantConfig = z.output<typeof plantSchema>;
export type PlantTag = PlantConfig['tags'][number];
export type Control = PlantConfig['controls'][number];
type PlantTrigger = z.output<typeof condition>;

function* contradictions(plant: Sound<PlantConfig>): Generator<Contradiction> {
  const { interval, hydraulicStep, tags = [], controls = [], districts = [] } = plant;
  if (interval !== undefined && HOUR_MS % interval !== 0) yield { path: ['interval'], message: 'must divide an hour' };
  if (interval !== undefined && hydraulicStep !== undefined && interval % hydraulicStep !== 0)
    yield { path: ['hydraulicStep'], message: 'must divide the interval, so that a row falls on the end of a step' };
  const names = new Set<string>();
  for (const [i, tag] of tags.entries()) {
    const { name, kind, measures, unit } = tag ?? {};
    if (name !== undefined && names.has(name))
      yield { path: ['tags', i, 'name'], message: `tag '${name}' is there twice` };
    if (name !== undefined) names.add(name);
    if (kind !== undefined && measures !== undefined && (kind === 'status') !== (measures === 'status'))
      yield { path: ['tags', i, 'kind'], message: "is 'status' exactly where the tag measures status" };
    const wrongUnit = unitProblem(unit, plant.units);
    if (wrongUnit !== null) yield { path: ['tags', i, 'unit'], message: wrongUnit };
  }
  yield* wrongControls(controls, names);
  const patterns = new Set<string>();
  for (const [i, district] of districts.entries()) {
    const pattern = district?.pattern;
    if (pattern === undefined) continue;
    if (patterns.has(pattern))
      yield { path: ['districts', i, 'pattern'], message: `'${pattern}' already belongs to a district` };
    patterns.add(pattern);
  }
}

function* wrongControls(controls: Sound<Control[]>, tagNames: ReadonlySet<string>): Generator<Contradiction> {
  const actuators = new Set<string>();
  for (const [i, control] of controls.entries()) {
    if (control === undefined) continue;
    const { on, off, actuator } = control;
    for (const [side, tag] of [
      ['on', on?.tag],
      ['off', off?.tag],
    ] as const) {
      if (tag === undefined || tagNames.has(tag)) continue;
      const meant = nearest(tag, [...tagNames]);
      yield {
        path: ['controls', i, side, 'tag'],
        message: `is not one of the tags of this plant${meant === null ? '' : `; did you mean '${meant}'?`}`,
      };
    }
    if (actuator !== undefined && actuators.has(actuator))
      yield { path: ['controls', i, 'actuator'], message: `'${actuator}' already has a rule` };
    if (actuator !== undefined) actuators.add(actuator);
    // A side that is wrong in itself is there all the same: its key stays.
    const [hasOn, hasOff] = ['on' in control, 'off' in control];
    if (hasOn !== hasOff)
      yield {
        path: ['controls', i, hasOn ? 'on' : 'off'],
        message: 'has no counterpart: write on and off, or neither',
      };
    const [onSide, offSide] = [sideOf(on), sideOf(off)];
    if (on?.tag !== undefined && on.tag === off?.tag && onSide !== null && onSide === offSide)
      yield { path: ['controls', i, 'off'], message: 'must look the other way than on: below and above' };
  }
}

function sideOf(condition: Sound<PlantTrigger> | undefined): 'below' | 'above' | null {
  if (condition?.below !== undefined) return 'below';
  return condition?.above === undefined ? null : 'above';
}

export interface LoadedPlant {
  readonly config: PlantConfig;
  /** Text of the EPANET input file. */
  readonly network: string;
  readonly attacks: AttackCatalogue;
}

export interface CheckedPlant {
  /** Null where anything is wrong in the files. */
  readonly loaded: LoadedPlant | null;
  readonly problems: readonly ConfigProblem[];
  /** Names of the tags that can be read from the file, in its order. */
  readonly tagNames: readonly string[];
}

type ReadText = (path: string) => Promise<string>;

/**
 * Reads plant.yaml at `path`, and the network, attack catalogue and fitted demands it names. `networkPath` replaces the network file it names.
 *
 * @throws TwinwatchError CONFIG_INVALID with everything that is wrong in these files, CONFIG_UNREADABLE; what readFile throws for plant.yaml.
 */
export async function loadPlant(path: string, readFile: ReadText, networkPath?: string): Promise<LoadedPlant> {
  const { loaded, problems } = await checkPlant(path, readFile, networkPath);
  if (loaded === null) throw invalidConfig(path, problems);
  return loaded;
}

/** As loadPlant, but gives the problems back. @throws what readFile throws for plant.yaml; TwinwatchError CONFIG_UNREADABLE where that is not YAML. */
export async function checkPlant(path: string, readFile: ReadText, networkPath?: string): Promise<CheckedPlant> {
  const plant = checkConfig(plantSchema, await readFile(path), path);
  const problems = [...plant.problems];
  const named = async (field: 'network' | 'attacks' | 'demands', file: string | undefined) => {
    if (file === undefined) return null;
    try {
      return await readFile(file);
    } catch (error) {
      problems.push(plant.problemAt([field], `names a file that cannot be read: ${(error as Error).message}`));
      return null;
    }
  };
  const checked = <S extends z.ZodType>(schema: S, text: string | null, file: string): CheckedConfig<S> | null => {
    if (text === null) return null;
    try {
      const content = checkConfig(schema, text, file);
      problems.push(...content.problems);
      return content;
    } catch (error) {
      const unreadable = problemsOf(error);
      if (unreadable === null) throw error;
      problems.push(...unreadable);
      return null;
    }
  };
  const beside = (file: string) => resolve(dirname(path), file);
  const {
    network: networkFile,
    attacks: attacksFile = 'attacks.yaml',
    demands: demandsFile,
    tags = [],
  } = plant.sound ?? {};
  const network = await named('network', networkPath ?? (networkFile === undefined ? undefined : beside(networkFile)));
  const attacksPath = beside(attacksFile);
  const attacks = checked(attackCatalogueSchema, await named('attacks', attacksPath), attacksPath);
  const demandsPath = demandsFile === undefined ? undefined : beside(demandsFile);
  const demands = checked(demandFileSchema, await named('demands', demandsPath), demandsPath ?? '');
  const tagNames = tags.flatMap((tag) => (tag?.name === undefined ? [] : [tag.name]));
  if (problems.length > 0 || plant.value === null || network === null || attacks === null || attacks.value === null)
    return { loaded: null, problems, tagNames };
  const config = demands?.value == null ? plant.value : withDemands(plant.value, toDemandFit(demands.value));
  return { loaded: { config, network, attacks: attacks.value }, problems, tagNames };
}

/** The plant's tags as features and rows know them, in the order of the file. */
export function plantTags(config: PlantConfig): Tag[] {
  return config.tags.map(({ name, unit, kind, resolution }) => ({ name, unit, kind, resolution }));
}

/** The PLCs' on-off rules, for those actuators whose state is a tag. */
export function controlRules({ controls, tags }: PlantConfig): ControlRule[] {
  return controls.flatMap(({ actuator, on, off }) => {
    const state = tags.find(({ measures, element }) => measures === 'status' && element === actuator)?.name;
    return state === undefined || on === undefined || off === undefined ? [] : [{ state, on, off }];
  });
}
