import type { ExperimentConfig } from './experiment-config.js';
import { FOLDS } from './experiment-data.js';

/** Who has which labels, and what is judged. */
export const SCENARIO_WORDS: Readonly<Record<ExperimentConfig['scenario'], string>> = {
  replication: `Clients hold rows of the plant with true labels, normal and attacked; the server holds the twin's rows with labels. Judged are whole stretches of the plant that no client holds, a ${FOLDS}th of them in turn with each seed.`,
  'label-free': `Clients hold normal rows of the plant and not one attack; labelled attacks exist on the twin alone. Judged are whole stretches of the plant with their attacks, a ${FOLDS}th of them in turn with each seed.`,
  official:
    'Clients hold all labelled rows of both BATADAL files; the server holds the twin’s rows with labels. Judged is the file that the user named, whose labels are read only to score.',
  'row-split':
    'As in the replication, but a fifth of the rows, drawn at random, is judged. Neighbouring rows of one attack lie on both sides: this leaks, and is shown only beside the split by episode.',
};

export interface ExperimentAbout {
  readonly config: ExperimentConfig;
  /** Of the file, without its ending. */
  readonly name: string;
  readonly data: 'simulated' | 'BATADAL';
}

export function dataWords({ config, data }: ExperimentAbout): string {
  const { sites, siteDays, twinEpisodes, twinDays, attackShare, clients } = config;
  const plant =
    data === 'BATADAL'
      ? 'The plant: BATADAL’s dataset03 and dataset04; the twin: the C-Town network.'
      : `The plant is simulated: ${sites} sites for ${siteDays} days each, ${Math.round(100 * attackShare)} % of them attacked, each site another instance of ${config.plant}.`;
  return `${plant} The twin simulates ${twinEpisodes} episodes of ${twinDays} days, with other seeds. ${clients} clients.`;
}

export const METHOD_NOTE =
  'mean ± sample standard deviation over the seeds; the test is Student’s for pairs of the same seed, two-sided, not corrected for the number of comparisons. Accuracy, and balanced accuracy and S at 0.5, take that threshold, as the paper does; a target counts as reached where three rounds in a row keep it.';
