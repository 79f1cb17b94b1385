import { markdownTable } from '../summary.js';
import { alignmentTable, experimentTables } from './experiment-tables.js';
import { dataWords, type ExperimentAbout, METHOD_NOTE, SCENARIO_WORDS } from './experiment-words.js';
import type { RunGroup } from './summarise.js';

/** What was found, for docs/results. */
export function experimentMarkdown(about: ExperimentAbout, groups: readonly RunGroup[], rounds: number): string {
  const { config, name } = about;
  const tables = [...experimentTables(config, groups), alignmentTable(groups)].map(
    ({ title, head, rows }) => `**${title}**\n\n${markdownTable(head, rows)}`,
  );
  return [
    `## ${config.title}`,
    config.question,
    `${SCENARIO_WORDS[config.scenario]} ${dataWords(about)} ${rounds} rounds, seeds ${config.seeds.join(', ')}. Command: \`npm run twinwatch -- experiment configs/experiments/${name}.yaml\`.`,
    ...tables,
    `Figures are ${METHOD_NOTE}`,
    '',
  ].join('\n\n');
}
