import { dirname, resolve } from 'node:path';
import {
  type CheckedConfig,
  type ConfigProblem,
  checkConfig,
  invalidConfig,
  problemsOf,
} from '@twinwatch/core/config/load';
import { nearest } from '@twinwatch/core/config/nearest';
import { type ServerFile, serverFile } from '@twinwatch/core/config/server';
import { unmatchedPatterns } from '@twinwatch/core/features/patterns';
import { csvTagNames } from './twin/csv-twin.js';
import { checkPlant } from './twin/plant-config.js';

type ReadText = (path: string) => Promise<string>;

/**
 * The server's configuration, checked together with the files of its twin and against the twin's tags.
 * @throws TwinwatchError CONFIG_INVALID with everything that is wrong in these files, CONFIG_UNREADABLE where the server's own is not YAML; what readText throws for it.
 */
export async function loadServerConfig(configPath: string, readText: ReadText): Promise<ServerFile> {
  const server = checkConfig(serverFile, await readText(configPath), configPath);
  const problems: ConfigProblem[] = [...server.problems];
  const tagNames = await twinTags(server, configPath, readText, problems);
  const features = server.sound.detector?.features ?? [];
  if (tagNames.length > 0)
    for (const { path, pattern } of unmatchedPatterns(features, tagNames))
      problems.push(
        server.problemAt(
          ['detector', 'features', ...path],
          `'${pattern}' matches no tag of the twin; ${instead(pattern, tagNames)}`,
        ),
      );
  if (problems.length > 0 || server.value === null) throw invalidConfig(configPath, problems);
  return server.value;
}

/** Tags of the twin as far as its files tell; none where they cannot be read, which is among `problems` then. */
async function twinTags(
  server: CheckedConfig<typeof serverFile>,
  configPath: string,
  readText: ReadText,
  problems: ConfigProblem[],
): Promise<readonly string[]> {
  const { plant, csv } = server.sound.twin ?? {};
  const beside = (file: string) => resolve(dirname(configPath), file);
  const place = plant === undefined ? ['twin', 'csv', 'file'] : ['twin', 'plant'];
  const file = plant ?? csv?.file;
  if (file === undefined) return [];
  try {
    if (plant === undefined) {
      const { timeColumn = 'time', labelColumn = 'label', episodeColumn } = csv ?? {};
      return csvTagNames(await readText(beside(file)), { timeColumn, labelColumn, episodeColumn });
    }
    const checked = await checkPlant(beside(plant), readText);
    problems.push(...checked.problems);
    return checked.tagNames;
  } catch (error) {
    const unreadable = problemsOf(error) ?? [
      server.problemAt(place, `names a file that cannot be read: ${(error as Error).message}`),
    ];
    problems.push(...unreadable);
    return [];
  }
}

function instead(pattern: string, tagNames: readonly string[]): string {
  const meant = /[*?]/.test(pattern) ? null : nearest(pattern, tagNames);
  return meant === null ? `the tags are ${tagNames.join(', ')}` : `did you mean '${meant}'?`;
}
