import { TwinwatchError } from '@twinwatch/core/errors';
import type { DemandPattern } from './demand/demand-model.js';
import type { Hydraulics } from './hydraulics.js';
import type { PlantConfig } from './plant-config.js';

/** Where the plant's tags, actuators and districts are in the network; indices as EPANET counts them, from 1. */
export interface NetworkLayout {
  readonly sensors: readonly Sensor[];
  readonly actuators: readonly { readonly link: number; readonly pump: boolean }[];
  readonly districts: readonly { readonly pattern: number; readonly demand: DemandPattern }[];
  readonly tanks: readonly { readonly node: number; readonly lowestMetres: number; readonly highestMetres: number }[];
}

export type Sensor =
  | { readonly measures: 'level'; readonly node: number; readonly elevationMetres: number }
  | { readonly measures: 'pressure'; readonly node: number }
  | { readonly measures: 'flow'; readonly link: number }
  | { readonly measures: 'status'; readonly actuator: number };

/**
 * Finds everything that the plant file names, and makes the districts' patterns constants that the plant sets itself.
 * @throws TwinwatchError PLANT_MISMATCH naming everything the network does not have.
 */
export function layOut(config: PlantConfig, hydraulics: Hydraulics): NetworkLayout {
  const missing: string[] = [];
  const found = (index: number | null, problem: string): number => {
    if (index === null) missing.push(problem);
    return index ?? 0;
  };
  const sensors = config.tags.map(({ name, measures, element }): Sensor => {
    if (measures === 'status') {
      const actuator = config.controls.findIndex((control) => control.actuator === element);
      if (actuator === -1) missing.push(`tag ${name}: '${element}' is not under controls, so its status is unknown`);
      return { measures, actuator };
    }
    if (measures === 'flow')
      return { measures, link: found(hydraulics.linkIndex(element), `tag ${name}: there is no link '${element}'`) };
    const node = found(hydraulics.nodeIndex(element), `tag ${name}: there is no node '${element}'`);
    if (measures === 'pressure') return { measures, node };
    if (node > 0 && !hydraulics.isTank(node)) missing.push(`tag ${name}: '${element}' is no tank`);
    return { measures, node, elevationMetres: node > 0 ? hydraulics.elevation(node) : 0 };
  });
  const actuators = config.controls.map(({ actuator, kind }) => {
    const link = found(hydraulics.linkIndex(actuator), `controls: there is no ${kind} '${actuator}'`);
    const pump = kind === 'pump';
    if (link > 0 && hydraulics.isPump(link) !== pump)
      missing.push(`controls: '${actuator}' is ${pump ? 'no' : 'a'} pump`);
    return { link, pump };
  });
  const districts = config.districts.map(({ name, pattern, multipliers }) => {
    const index = found(hydraulics.patternIndex(pattern), `district ${name}: there is no pattern '${pattern}'`);
    return {
      pattern: index,
      demand: index > 0 ? demandPattern(hydraulics, index, multipliers) : { multipliers: [1], stepMs: 1 },
    };
  });
  if (missing.length > 0)
    throw new TwinwatchError(
      'PLANT_MISMATCH',
      `plant ${config.name} and its network file ${config.network} do not fit:\n  ${missing.join('\n  ')}`,
      { context: { plant: config.name, network: config.network, missing } },
    );
  for (const { pattern } of districts) hydraulics.flattenPattern(pattern);
  return { sensors, actuators, districts, tanks: controlledTanks(config, sensors) };
}

function demandPattern(
  hydraulics: Hydraulics,
  index: number,
  multipliers: readonly number[] | undefined,
): DemandPattern {
  if (multipliers !== undefined) return { multipliers, stepMs: 3_600_000 };
  const own = hydraulics.pattern(index);
  return { multipliers: own.multipliers, stepMs: own.stepSeconds * 1_000 };
}

/** Tanks whose level switches something, with the lowest and highest threshold. */
function controlledTanks(config: PlantConfig, sensors: readonly Sensor[]): NetworkLayout['tanks'] {
  const thresholds = new Map<number, number[]>();
  for (const { on, off } of config.controls) {
    for (const rule of [on, off]) {
      const sensor = sensors[config.tags.findIndex(({ name }) => name === rule?.tag)];
      if (rule === undefined || sensor?.measures !== 'level') continue;
      const known = thresholds.get(sensor.node) ?? [];
      known.push((rule.below ?? rule.above)!);
      thresholds.set(sensor.node, known);
    }
  }
  return [...thresholds].map(([node, levels]) => ({
    node,
    lowestMetres: Math.min(...levels),
    highestMetres: Math.max(...levels),
  }));
}
