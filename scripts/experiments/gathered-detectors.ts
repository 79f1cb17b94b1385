import { prAuc } from '@twinwatch/core/evaluation/ranking';
import { scaleRows } from '@twinwatch/core/features/moments';
import type { TrainingEngine } from '@twinwatch/core/learning/engine';
import { initialParameters } from '@twinwatch/core/learning/network';
import type { ScoreHistogram } from '@twinwatch/core/wire/messages';
import { architectureOf } from '@twinwatch/twin-server/aggregator/lineage';
import { balancedDataset, balancedWeights } from '@twinwatch/twin-server/aggregator/twin-rows';
import { affordableThreshold } from '@twinwatch/twin-server/registry/release';
import { type Score, scoreRows } from '../catalogue/watch-run.js';
import { learnAutoencoder } from './autoencoder.js';
import { type GatheredRows, joined } from './gathered-rows.js';
import type { LearnedDetector, Learning } from './learned-detector.js';

/** Detectors that learn with all rows in one place. Thresholds are chosen as a federation's are. */

interface GatheredRequest {
  readonly rows: GatheredRows;
  readonly learning: Learning;
  readonly seed: number;
}

/** As fine as it goes: these histograms travel nowhere. */
const BINS = 10_000;

/** The federation's network, on the sites' normal rows and all of the twin's; as often over them as the rounds are, the best of these kept. */
export async function learnCentralised(request: GatheredRequest, engine: TrainingEngine): Promise<LearnedDetector> {
  const { rows, seed } = request;
  const { detector, rounds } = request.learning;
  const { schema, twin } = rows;
  const architecture = architectureOf(detector, schema);
  const labels = joined([new Float32Array(rows.normal.length / rows.inputs), twin.training.labels]);
  const normal = scaleRows(rows.normal, rows.scaler, rows.inputs);
  const simulated = scaleRows(twin.training.features, rows.twinScaler, rows.inputs);
  const data = { features: joined([normal, simulated]), labels, weights: balancedWeights(labels) };
  const validation = balancedDataset(twin.validation, rows.twinScaler);
  let parameters = initialParameters(architecture, seed);
  let best = { parameters, area: Number.NEGATIVE_INFINITY };
  for (let round = 0; round < rounds.count; round++) {
    const { epochs, batchSize, learningRate } = rounds;
    const fit = { architecture, parameters, data, epochs, batchSize, learningRate, seed: 1_000 * seed + round };
    parameters = (await engine.fit(fit)).parameters;
    const area = prAuc(await engine.score(architecture, parameters, validation.features), validation.labels);
    if (area > best.area) best = { parameters, area };
  }
  return thresholded(request, (scaled) => engine.score(architecture, best.parameters, scaled));
}

/** Learns from the normal rows alone. Its error e becomes the score e / (e + m), m the median on held-back rows, so that the same rules fit. */
export async function learnFromNormal(request: GatheredRequest): Promise<LearnedDetector> {
  const { rows, seed } = request;
  const { rounds } = request.learning;
  const autoencoder = learnAutoencoder({
    rows: scaleRows(rows.normal, rows.scaler, rows.inputs),
    held: rows.held,
    inputs: rows.inputs,
    epochs: rounds.count * rounds.epochs,
    batchSize: rounds.batchSize,
    learningRate: rounds.learningRate,
    seed,
  });
  const held = autoencoder.errors(rows.held).sort();
  const median = held[held.length >> 1]!;
  return thresholded(request, async (scaled) => autoencoder.errors(scaled).map((error) => error / (error + median)));
}

async function thresholded({ rows, learning }: GatheredRequest, score: Score): Promise<LearnedDetector> {
  const { schema, scaler, twin } = rows;
  const validation = balancedDataset(twin.validation, rows.twinScaler);
  const scores = await score(validation.features);
  const { threshold } = affordableThreshold(
    { scores, labels: validation.labels },
    histogramOf(await score(rows.held)),
    learning.detector.maximumFalseRate,
  );
  return { threshold, score: (watched) => scoreRows({ schema, scaler, score }, watched) };
}

function histogramOf(scores: Float32Array): ScoreHistogram {
  const counts = new Array<number>(BINS).fill(0);
  for (const score of scores) counts[Math.min(BINS - 1, Math.floor(score * BINS))]!++;
  return { counts, rows: scores.length };
}
