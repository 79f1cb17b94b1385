import { BuiltinEngine } from '@twinwatch/core/learning/builtin-engine';
import type { RoundView } from '@twinwatch/core/wire/http';
import { clientExamples } from '@twinwatch/twin-server/aggregator/client-examples';
import { runRounds } from '@twinwatch/twin-server/aggregator/in-process';
import { buildSchema } from '@twinwatch/twin-server/aggregator/lineage';
import {
  normalClients,
  SILENT,
  syntheticConfig,
  syntheticTwin,
} from '@twinwatch/twin-server/aggregator/testing/synthetic-plant';
import { splitEpisodes, twinFeatures } from '@twinwatch/twin-server/aggregator/twin-rows';
import { type Adversaries, withAdversaries } from './adversary.js';
import { markdownTable, spreadWords } from './summary.js';

/** A small federation on a made-up plant, some of whose clients are hostile: what each attack does to each way of combining updates. */

export const CLIENTS = 10;
const ROUNDS = 6;
const SEEDS = [7, 8, 9];

/** Whatever an agent sends counts, as long as it is finite and below `maximumUpdateNorm`. */
export const UNDEFENDED = { defence: { normRatio: 0, rowsRatio: 0, quarantineAfter: 0 } };

/** What `rounds` says beside FedAvg. */
const DEFENCES = {
  none: UNDEFENDED,
  'by default': {},
  median: { combiner: { type: 'median' } },
  trimmedMean: { combiner: { type: 'trimmedMean', trim: 0.3 } },
  multiKrum: { combiner: { type: 'multiKrum', byzantine: 3 } },
  'signed filter, multiKrum': { filter: { cosine: 'median' }, combiner: { type: 'multiKrum', byzantine: 1 } },
} as const satisfies Record<string, object>;

const ATTACKS: readonly Pick<Adversaries, 'attack' | 'strength'>[] = [
  { attack: 'labelFlip', strength: 1 },
  { attack: 'signFlip', strength: 4 },
  { attack: 'scaled', strength: 10 },
  { attack: 'scaled', strength: 100 },
  { attack: 'noise', strength: 4 },
  { attack: 'noise', strength: 100 },
];

/** @returns the rounds of one federation. @param adversaries null where all are honest. @param rounds of the configuration. */
export async function poisonedCourse(
  adversaries: Omit<Adversaries, 'seed'> | null,
  rounds: object,
  seed: number,
): Promise<RoundView[]> {
  const config = syntheticConfig({ method: 'fedavg', count: ROUNDS, quorum: CLIENTS, codec: 'f32', ...rounds });
  const { detector } = config;
  const twin = syntheticTwin(seed);
  const episodes = splitEpisodes(twin.episodes, { validationShare: 0.25, seed });
  const schema = buildSchema(detector, twin, episodes.training);
  const honest = normalClients(CLIENTS, 3).map((rows) => clientExamples(schema, rows));
  const { clients, tamper } =
    adversaries === null
      ? { clients: honest, tamper: (_agent: string, delta: Float32Array) => delta }
      : withAdversaries(honest, { ...adversaries, seed });
  const views: RoundView[] = [];
  await runRounds({
    ...{ schema, clients, tamper, detector, rounds: config.rounds, seed, now: () => 0, log: SILENT },
    ...{ engine: new BuiltinEngine(), twin: twinFeatures(schema, episodes) },
    onRound: (view) => views.push(view),
  });
  return views;
}

/** Prints a table in Markdown: PR AUC on the twin's validation episodes after the last round, mean ± sd over the seeds. */
export async function runPoisoning(): Promise<void> {
  const cell = async (adversaries: Omit<Adversaries, 'seed'> | null, rounds: object) => {
    const last = await Promise.all(SEEDS.map(async (seed) => (await poisonedCourse(adversaries, rounds, seed)).at(-1)));
    return spreadWords(
      last.map((view) => view?.validation?.prAuc ?? null),
      2,
    );
  };
  const rows: string[][] = [];
  const row = async (name: string, adversaries: Omit<Adversaries, 'seed'> | null) => {
    const cells: string[] = [];
    for (const rounds of Object.values(DEFENCES)) cells.push(await cell(adversaries, rounds));
    rows.push([name, ...cells]);
  };
  await row('nobody', null);
  for (const attack of ATTACKS)
    for (const share of [0.1, 0.3])
      await row(`${100 * share} % ${attack.attack} × ${attack.strength}`, { ...attack, share });
  process.stdout.write(`${markdownTable(['hostile', ...Object.keys(DEFENCES)], rows)}\n`);
}
