import { dirname, resolve } from 'node:path';
import { type DeviceTemplate, deviceTemplateSchema } from '@twinwatch/core/config/device-template';
import type { PlantSimConfig } from '@twinwatch/core/config/plant-sim';
import { attackAt, findAttack } from '@twinwatch/twin-server/twin/attacks';
import { Plant } from '@twinwatch/twin-server/twin/plant';
import { type LoadedPlant, loadPlant, type PlantConfig } from '@twinwatch/twin-server/twin/plant-config';
import { readConfig, readTextFile } from '../processes/read-config.js';
import { recordedSource } from './recorded-source.js';
import { type Recording, readRecording } from './recording.js';
import type { RowSource } from './row-source.js';
import { simulatedSource } from './simulated-source.js';
import type { Pace } from './stepper.js';

const HOUR_MS = 3_600_000;

/** PLC → register map. Each lies beside plant.yaml under the PLC's name in small letters. @throws TwinwatchError CONFIG_* */
export async function readTemplates(plantPath: string, plant: PlantConfig): Promise<Map<string, DeviceTemplate>> {
  const plcs = [...new Set(plant.tags.map(({ plc }) => plc))];
  const read = async (plc: string) =>
    [plc, await readConfig(deviceTemplateSchema, resolve(dirname(plantPath), `${plc.toLowerCase()}.yaml`))] as const;
  return new Map(await Promise.all(plcs.map(read)));
}

/** What is served, whether simulated or recorded, water or not. */
export interface OpenPlant {
  /** PLC → register map. */
  readonly templates: ReadonlyMap<string, DeviceTemplate>;
  /** Source time between two rows. */
  readonly intervalMs: number;
  /** Where a site's rows come from. @throws TwinwatchError PLANT_* */
  open(site: PlantSimConfig['sites'][number]): Promise<RowSource>;
}

/** `beside` resolves paths of the configuration file. @throws TwinwatchError CONFIG_*, PLANT_*, FEED_INVALID */
export async function openPlant(config: PlantSimConfig, beside: (path: string) => string): Promise<OpenPlant> {
  const { feed, templates: files } = config;
  if (config.plant === undefined) {
    const read = async ([plc, file]: [string, string]) =>
      [plc, await readConfig(deviceTemplateSchema, beside(file))] as const;
    const templates = new Map(await Promise.all(Object.entries(files!).map(read)));
    const tagNames = [...templates.values()].flatMap(({ tags }) => tags.map(({ name }) => name));
    const recording = await readFeed(feed!, tagNames, beside);
    return { templates, intervalMs: recording.intervalMs, open: async () => recordedSource(tagNames, recording.rows) };
  }
  const path = beside(config.plant);
  const loaded = await loadPlant(path, readTextFile);
  const templates = await readTemplates(path, loaded.config);
  const intervalMs = loaded.config.interval;
  if (feed === undefined) return { templates, intervalMs, open: (site) => simulate(loaded, site) };
  const tagNames = loaded.config.tags.map(({ name }) => name);
  const { rows } = await readFeed(feed, tagNames, beside);
  return { templates, intervalMs, open: async () => recordedSource(tagNames, rows) };
}

function readFeed(
  { csv, ...columns }: NonNullable<PlantSimConfig['feed']>,
  tagNames: readonly string[],
  beside: (path: string) => string,
): Promise<Recording> {
  return readRecording(beside(csv), tagNames, columns);
}

async function simulate(
  { config: plant, network, attacks }: LoadedPlant,
  site: PlantSimConfig['sites'][number],
): Promise<RowSource> {
  const { seed, demandScale, demandNoise, roughnessScale, sensorNoise } = site;
  const variation = { seed, demandScale, demandNoise, roughnessScale, sensorNoise };
  const simulation = await Plant.open({ config: plant, network, variation });
  for (const { name, startHour } of site.attacks)
    simulation.schedule(attackAt(findAttack(attacks, name), Date.parse(plant.start) + startHour * HOUR_MS));
  return simulatedSource(simulation, attacks);
}

/** `intervalMs` is the source time between two rows. */
export function paceOf(config: PlantSimConfig, intervalMs: number): Pace {
  const { commissioningRows: freeRows, rowsPerSecond, realtimeFactor } = config;
  if (realtimeFactor !== undefined) return { freeRows, rowsPerSecond: (realtimeFactor * 1000) / intervalMs };
  return { freeRows, rowsPerSecond: rowsPerSecond ?? null };
}
