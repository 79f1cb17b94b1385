import { batadalScore } from '@twinwatch/core/evaluation/batadal';
import { countLabels } from '@twinwatch/core/evaluation/labels';
import { rankingAreas, tiesDescending } from '@twinwatch/core/evaluation/ranking';
import type { Metric } from './experiment-config.js';

/** What a detector's scores are worth on the rows that are judged. */
export type Measures = Readonly<Record<Metric, number>>;

/**
 * Without A in its name a measure takes the threshold that is best on the twin's validation rows, which no row judged has a part in;
 * `…AtHalf` and accuracy take 0.5, as the paper does.
 */
export function measuresOf(scores: Float32Array, labels: Float32Array, threshold: number): Measures {
  const at = (limit: number) =>
    batadalScore({ scoresAboveThreshold: Uint8Array.from(scores, (score) => (score >= limit ? 1 : 0)), labels });
  const [chosen, half] = [at(threshold), at(0.5)];
  let right = 0;
  for (let row = 0; row < labels.length; row++) if (scores[row]! >= 0.5 === (labels[row] === 1)) right++;
  return {
    balancedAccuracy: chosen.sCm,
    s: chosen.s,
    ...rankingAreas(scores, labels),
    accuracy: right / labels.length,
    balancedAccuracyAtHalf: half.sCm,
    sAtHalf: half.s,
  };
}

/** The threshold with the best balanced accuracy, half-way between two scores. */
export function bestThreshold(scores: ArrayLike<number>, labels: ArrayLike<number>): number {
  const { attacks, normals } = countLabels(labels);
  let [found, falsely, best, threshold] = [0, 0, 0, 1];
  let pending = false;
  for (const tied of tiesDescending(scores, labels)) {
    if (pending) threshold = (threshold + tied.score) / 2;
    pending = false;
    found += tied.attacks;
    falsely += tied.normals;
    const balanced = found / attacks - falsely / normals;
    if (balanced <= best) continue;
    best = balanced;
    threshold = tied.score;
    pending = true;
  }
  return threshold;
}

/** What always saying "normal", and saying so at random, is worth on the same rows. */
export function constantMeasures(labels: Float32Array): { readonly accuracy: number; readonly prAuc: number } {
  const { attacks, normals } = countLabels(labels);
  return { accuracy: normals / labels.length, prAuc: attacks / (attacks + normals) };
}
