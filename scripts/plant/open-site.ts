import { dirname, resolve } from 'node:path';
import { type DeviceTemplate, deviceTemplateSchema } from '@twinwatch/core/config/device-template';
import type { PlantSimConfig } from '@twinwatch/core/config/plant-sim';
import { attackAt, findAttack } from '@twinwatch/twin-server/twin/attacks';
import { Plant } from '@twinwatch/twin-server/twin/plant';
import type { LoadedPlant, PlantConfig } from '@twinwatch/twin-server/twin/plant-config';
import { readConfig } from '../processes/read-config.js';
import { recordedSource } from './recorded-source.js';
import { readRecording } from './recording.js';
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

/** Where a site's rows come from. `beside` resolves paths of the configuration file. @throws TwinwatchError PLANT_*, FEED_INVALID */
export async function openSource(
  config: PlantSimConfig,
  site: PlantSimConfig['sites'][number],
  { config: plant, network, attacks }: LoadedPlant,
  beside: (path: string) => string,
): Promise<RowSource> {
  if (config.feed !== undefined) {
    const tagNames = plant.tags.map(({ name }) => name);
    const { csv, ...columns } = config.feed;
    return recordedSource(tagNames, (await readRecording(beside(csv), tagNames, columns)).rows);
  }
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
