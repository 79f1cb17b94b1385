import { readdir } from 'node:fs/promises';
import { configFile } from '../../processes/repository.js';
import type { ExperimentConfig } from './experiment-config.js';

/** The same comparison so small that it says nothing but that everything runs. */
export function quickened(config: ExperimentConfig): ExperimentConfig {
  return {
    ...config,
    seeds: config.seeds.slice(0, 1),
    rounds: { ...config.rounds, count: 2 },
    ...{ sites: 5, siteDays: 2, twinEpisodes: 4, twinDays: 3, attackShare: 1 },
    freshProcesses: false,
  };
}

/** All experiments that come with the product. */
export async function readyExperiments(): Promise<string[]> {
  const names = await readdir(configFile('experiments'));
  return names
    .filter((name) => name.endsWith('.yaml'))
    .sort()
    .map((name) => configFile('experiments', name));
}
