import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { mergeProfiles } from '@twinwatch/core/calibration/merge-profiles';
import type { SiteProfile } from '@twinwatch/core/calibration/profile';
import { siteProfile } from '@twinwatch/core/calibration/site-profile';
import { parseConfig } from '@twinwatch/core/config/load';
import type { ServerFile } from '@twinwatch/core/config/server';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { FeatureSchema } from '@twinwatch/core/features/spec';
import type { Logger } from '@twinwatch/core/runtime';
import { type SurveyOptions, surveySites } from './demand-survey.js';
import { CsvTwin } from './twin/csv-twin.js';
import { demandFileSchema, demandFileText, toDemandFit, withDemands } from './twin/demand/demand-file.js';
import { type DemandFit, fitDemands } from './twin/demand/fit-demands.js';
import { balancesOf, fitToHistory } from './twin/demand/history.js';
import { profileDifferences } from './twin/demand/profile-differences.js';
import { EpanetTwin } from './twin/epanet-twin.js';
import { type LoadedPlant, loadPlant, plantTags } from './twin/plant-config.js';
import type { TwinSource } from './twin/twin-source.js';

export interface OpenTwinOptions {
  readonly config: ServerFile;
  readonly dataDir: string;
  /** A path of the configuration, from where the configuration is. */
  readonly beside: (file: string) => string;
  /** @throws TwinwatchError CONFIG_UNREADABLE */
  readonly readText: (path: string) => Promise<string>;
  readonly survey: Omit<SurveyOptions, 'federation' | 'schema' | 'request' | 'rounds'>;
  readonly log: Logger;
}

/** Fits of an earlier start, so that the twin stays the same over restarts. Whoever deletes it has the demands fitted anew. */
const DEMAND_FILE = 'demands.yaml';
/** A fortnight tells how the twin runs. */
const CHECK = { seed: 1, episodes: 2, hoursPerEpisode: 168, attackShare: 0 };

/**
 * The twin that the configuration names, with its demands fitted where it says so, and a hash of everything it is made from.
 * @throws TwinwatchError CONFIG_*, PLANT_*, TWIN_*, FEED_INVALID, CALIBRATION_MISMATCH
 */
export async function openTwin(options: OpenTwinOptions): Promise<{ twin: TwinSource; twinHash: string }> {
  const { config, beside, readText } = options;
  const { csv } = config.twin;
  if (csv !== undefined) {
    const text = await readText(beside(csv.file));
    return { twin: CsvTwin.open({ ...csv, text, fileName: csv.file }), twinHash: sha256(text) };
  }
  const plant = await fittedPlant(await loadPlant(beside(config.twin.plant ?? ''), readText), options);
  return { twin: new EpanetTwin({ plant, threads: availableParallelism() }), twinHash: sha256(JSON.stringify(plant)) };
}

async function fittedPlant(plant: LoadedPlant, options: OpenTwinOptions): Promise<LoadedPlant> {
  const { config, beside, log } = options;
  const { history, demands } = config.twin;
  const fitted = (fit: DemandFit): LoadedPlant => ({ ...plant, config: withDemands(plant.config, fit) });
  if (history !== undefined) {
    const { file, ...columns } = history;
    const { fit, rows, balances } = await fitToHistory(plant, await readFile(beside(file)), file, columns);
    log.info({ rows, unseen: balances.unseen, dayNoise: fit.dayNoise, hourNoise: fit.hourNoise }, 'demands fitted');
    return fitted(fit);
  }
  if (demands !== 'agents') return plant;
  const path = join(options.dataDir, DEMAND_FILE);
  const kept = await readFile(path, 'utf8').catch(() => null);
  if (kept !== null) return fitted(toDemandFit(parseConfig(demandFileSchema, kept, path)));
  const profile = await profileOfSites(plant, options);
  const fit = fitDemands(plant.config, await balancesOf(plant), profile.merged);
  await mkdir(options.dataDir, { recursive: true });
  await writeFile(`${path}.part`, demandFileText(fit, `the summaries of ${profile.agents.join(', ')}`));
  await rename(`${path}.part`, path);
  log.info({ agents: profile.agents, dayNoise: fit.dayNoise, hourNoise: fit.hourNoise, file: path }, 'demands fitted');
  await compareWithSites(fitted(fit), profile.merged, log);
  return fitted(fit);
}

async function profileOfSites(
  plant: LoadedPlant,
  { config, survey }: OpenTwinOptions,
): Promise<{ merged: SiteProfile; agents: string[] }> {
  const tags = plantTags(plant.config);
  const schema: FeatureSchema = {
    tags,
    features: tags.map(({ name }) => ({ type: 'raw', tag: name })),
    intervalMs: plant.config.interval,
    holdRows: config.detector.holdRows,
  };
  const { balances, unseen } = await balancesOf(plant);
  if (balances.length === 0)
    throw new TwinwatchError(
      'PLANT_DEMAND_UNSEEN',
      `plant ${plant.config.name} has no measured water balance (${unseen.join('; ')}); remove 'demands: agents'`,
    );
  const { federation, rounds } = config;
  const request = { originMs: Date.parse(plant.config.start), balances };
  const profiles = await surveySites({ ...survey, federation, rounds, schema, request });
  return { merged: mergeProfiles([...profiles.values()]), agents: [...profiles.keys()].sort() };
}

/** Tells an operator where the twin runs otherwise than the sites do. */
async function compareWithSites(plant: LoadedPlant, sites: SiteProfile, log: Logger): Promise<void> {
  const { episodes, tags, intervalMs } = await new EpanetTwin({ plant }).generate(CHECK, () => undefined);
  const rows = episodes.flatMap((episode) => [...episode.rows]).sort((a, b) => a.timeMs - b.timeMs);
  const own = siteProfile(rows, tags, intervalMs, { originMs: Date.parse(plant.config.start), balances: [] });
  for (const words of profileDifferences(own, sites, tags)) log.warn({}, words);
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
