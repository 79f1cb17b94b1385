import { join } from 'node:path';
import { TwinwatchError } from '@twinwatch/core/errors';
import { extractAll, inputCount } from '@twinwatch/core/features/extractor';
import type { FeatureSchema } from '@twinwatch/core/features/spec';
import { createRandom } from '@twinwatch/core/learning/random';
import { type Alignment, auditAlignment } from '@twinwatch/twin-server/advice/audit';
import { buildSchema } from '@twinwatch/twin-server/aggregator/lineage';
import {
  type LabelledFeatures,
  normalRows,
  splitEpisodes,
  type TwinFeatures,
  twinFeatures,
} from '@twinwatch/twin-server/aggregator/twin-rows';
import { loadPlant } from '@twinwatch/twin-server/twin/plant-config';
import type { TwinEpisode } from '@twinwatch/twin-server/twin/twin-source';
import { readTextFile } from '../../processes/read-config.js';
import { fromRepository } from '../../processes/repository.js';
import type { DealtRows } from './partition.js';
import { simulatePlant, simulateTwin } from './plant-rows.js';
import { BATADAL_FILES, recordedStretches } from './recorded-rows.js';
import type { RecordedData, Run } from './runs.js';

/** What the runs of one seed and twin learn from and are judged on, as features in engineering units. */
export interface ExperimentData {
  readonly schema: FeatureSchema;
  readonly inputs: number;
  readonly twin: TwinFeatures;
  /** What clients have between them. */
  readonly pool: Pool;
  /** In the order of time, stretch by stretch; no row of it is learned from. */
  readonly judged: LabelledFeatures;
  readonly alignment: Alignment;
}

interface Pool extends DealtRows, LabelledFeatures {}

/** Attack episodes are left out in so many turns, one per seed. */
export const FOLDS = 5;
/** Of the rows, where these are split at random. */
const ROW_SPLIT_SHARE = 0.2;
/** Stretches that recorded normal running is cut into. */
const NORMAL_STRETCHES = 20;

interface Stretches {
  readonly learned: readonly TwinEpisode[];
  readonly judged: readonly TwinEpisode[];
}

/** @throws TwinwatchError CONFIG_*, FEED_INVALID, PLANT_*, TWIN_*, LEARNER_NO_ATTACKS, EXPERIMENT_NO_TEST_FILE */
export async function experimentData(run: Run, recorded: RecordedData | null): Promise<ExperimentData> {
  const { setting, twin: quality, seed } = run;
  const network = recorded === null ? undefined : join(recorded.folder, BATADAL_FILES.network);
  const plantFile = recorded === null ? setting.plant : 'configs/ctown/plant.yaml';
  const plant = await loadPlant(fromRepository(plantFile), readTextFile, network);
  const twinRows = await simulateTwin(plant, setting, quality, seed);
  const { learned, judged } = await stretchesOf(run, recorded, () => simulatePlant(plant, setting, quality, seed));
  const episodes = splitEpisodes(twinRows.episodes, { validationShare: setting.validationShare, seed });
  const schema = buildSchema(setting.detector, twinRows, episodes.training);
  const twin = twinFeatures(schema, episodes);
  const inputs = inputCount(schema);
  const pool = pooled(schema, learned);
  if (setting.scenario === 'row-split') {
    const random = createRandom(`${seed}:row-split`);
    const isHeld = pool.kinds.map(() => random.next() < ROW_SPLIT_SHARE);
    const held = only(pool, inputs, (row) => isHeld[row]!);
    const rest = only(pool, inputs, (row) => !isHeld[row]!);
    return { schema, inputs, twin, pool: rest, judged: held, alignment: align(schema, twin, rest, inputs, seed) };
  }
  const own = setting.scenario === 'label-free' ? only(pool, inputs, (row) => pool.labels[row] === 0) : pool;
  return {
    schema,
    inputs,
    twin,
    pool: own,
    judged: pooled(schema, judged),
    alignment: align(schema, twin, own, inputs, seed),
  };
}

async function stretchesOf(
  { setting, seed }: Run,
  recorded: RecordedData | null,
  simulate: () => Promise<{ readonly episodes: readonly TwinEpisode[] }>,
): Promise<Stretches> {
  const fold = seed % FOLDS;
  const all = setting.scenario === 'row-split' || setting.scenario === 'official';
  if (recorded === null) {
    if (setting.scenario === 'official')
      throw new TwinwatchError(
        'EXPERIMENT_NO_TEST_FILE',
        "the scenario 'official' is judged on a recorded file; give --data with BATADAL's files, and --test with the file to judge on",
      );
    const { episodes } = await simulate();
    const isLeftOut = (_: TwinEpisode, i: number) => !all && Math.floor((i * FOLDS) / episodes.length) === fold;
    return { learned: episodes.filter((episode, i) => !isLeftOut(episode, i)), judged: episodes.filter(isLeftOut) };
  }
  const plant = await loadPlant(
    fromRepository('configs/ctown/plant.yaml'),
    readTextFile,
    join(recorded.folder, BATADAL_FILES.network),
  );
  const { normal, attacked, test } = await recordedStretches(plant, recorded, {
    normal: NORMAL_STRETCHES,
    attacked: FOLDS,
  });
  if (!all) return { learned: [...normal, ...attacked.filter((_, i) => i !== fold)], judged: [attacked[fold]!] };
  if (setting.scenario === 'row-split') return { learned: [...normal, ...attacked], judged: [] };
  if (test === null)
    throw new TwinwatchError(
      'EXPERIMENT_NO_TEST_FILE',
      "the scenario 'official' is judged on a file of yours; name it with --test",
    );
  return { learned: [...normal, ...attacked], judged: [test] };
}

/** Rows that may be learned from or judged, stretch by stretch. */
function pooled(schema: FeatureSchema, stretches: readonly TwinEpisode[]): Pool {
  const parts = stretches.map(({ rows, labels, excluded, attackNames }, site) => {
    const { features, rowIndex, timesMs } = extractAll(schema, rows);
    const kept = [...rowIndex.keys()].filter((i) => excluded[rowIndex[i]!] !== 1);
    const inputs = inputCount(schema);
    const chosen = new Float32Array(kept.length * inputs);
    for (const [at, i] of kept.entries()) chosen.set(features.subarray(i * inputs, (i + 1) * inputs), at * inputs);
    return {
      features: chosen,
      labels: kept.map((i) => labels[rowIndex[i]!]!),
      kinds: kept.map((i) => (labels[rowIndex[i]!] === 1 ? (attackNames[rowIndex[i]!] ?? 'attack') : '')),
      sites: kept.map(() => site),
      timesMs: kept.map((i) => timesMs[i]!),
    };
  });
  const features = new Float32Array(parts.reduce((sum, part) => sum + part.features.length, 0));
  let at = 0;
  for (const part of parts) {
    features.set(part.features, at);
    at += part.features.length;
  }
  return {
    features,
    labels: Float32Array.from(parts.flatMap(({ labels }) => labels)),
    kinds: parts.flatMap(({ kinds }) => kinds),
    sites: parts.flatMap(({ sites }) => sites),
    timesMs: parts.flatMap(({ timesMs }) => timesMs),
  };
}

function only(pool: Pool, inputs: number, keep: (row: number) => boolean): Pool {
  const rows = pool.kinds.map((_, row) => row).filter(keep);
  const features = new Float32Array(rows.length * inputs);
  for (const [at, row] of rows.entries())
    features.set(pool.features.subarray(row * inputs, (row + 1) * inputs), at * inputs);
  return {
    features,
    labels: Float32Array.from(rows, (row) => pool.labels[row]!),
    kinds: rows.map((row) => pool.kinds[row]!),
    sites: rows.map((row) => pool.sites[row]!),
    timesMs: rows.map((row) => pool.timesMs[row]!),
  };
}

function align(schema: FeatureSchema, twin: TwinFeatures, pool: Pool, inputs: number, seed: number): Alignment {
  const normal = only(pool, inputs, (row) => pool.labels[row] === 0);
  const half = (odd: number) => only(normal, inputs, (row) => normal.sites[row]! % 2 === odd).features;
  return auditAlignment({ schema, inputs, seed, twin: normalRows(twin.training), real: [half(0), half(1)] });
}
