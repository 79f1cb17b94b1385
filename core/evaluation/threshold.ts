import type { ScoreHistogram } from '../wire/messages.js';
import { checkLabelled, countLabels, type LabelledScores } from './labels.js';
import { tiesDescending } from './ranking.js';

export interface ThresholdChoice {
  /** A score at or above it is an alarm. */
  readonly threshold: number;
  /** On the validation rows. */
  readonly balancedAccuracy: number;
  readonly validationFalseRate: number;
  /** On the agents' held-back normal rows, counted from above (see heldBackFalseRate); null without a histogram. */
  readonly heldBackFalseRate: number | null;
  /** False where no threshold keeps both false rates within the maximum; the threshold is then 1. */
  readonly isWithinMaximum: boolean;
}

/** A rate is told by no fewer false rows: one or two that happen to be there, or not, say little about the years to come. Ours. */
const TELLING_FALSE_ROWS = 5;

/**
 * The threshold with the best balanced accuracy on labelled validation rows (the twin's, never those a result is reported on), among
 * those that alarm at most `maximumFalseRate` of the normal rows that the agents held back: normal running of the real plant, which no twin
 * knows as well. Where there are too few of them to show so small a rate, the normal validation rows must keep it, too; otherwise not: many of
 * them lie between attacks, and strange for hours after each. This criterion is the project's choice; the paper uses 0.5.
 *
 * Candidates lie half-way between neighbouring scores, and on the histogram's edges; among equally good ones the middle is
 * taken, farthest from both classes.
 * @throws TwinwatchError EVALUATION_SHAPE.
 */
export function chooseThreshold(
  request: LabelledScores & { readonly normalHistogram?: ScoreHistogram; readonly maximumFalseRate: number },
): ThresholdChoice {
  checkLabelled(request);
  const totals = countLabels(request.labels);
  const histogram = request.normalHistogram;
  const heldBack = histogram === undefined || histogram.rows === 0 ? null : heldBackFalseRate(histogram);

  const ties = [...tiesDescending(request.scores, request.labels)];
  const bins = heldBack === null ? 0 : histogram!.counts.length;
  const edges = Array.from({ length: bins }, (_, bin) => (bins - bin) / bins);
  const midpoints = ties.slice(1).map((tied, i) => (tied.score + ties[i]!.score) / 2);
  const thresholds = [...new Set([1, ...midpoints, ...edges])].filter((t) => t > 0 && t <= 1).sort((a, b) => b - a);

  const isJudgedByTwin = heldBack === null || histogram!.rows * request.maximumFalseRate < TELLING_FALSE_ROWS;

  let next = 0;
  let found = 0;
  let falsely = 0;
  const candidates = thresholds.map((threshold): ThresholdChoice => {
    for (; next < ties.length && ties[next]!.score >= threshold; next++) {
      found += ties[next]!.attacks;
      falsely += ties[next]!.normals;
    }
    const validationFalseRate = totals.normals === 0 ? 0 : falsely / totals.normals;
    const recall = totals.attacks === 0 ? 0 : found / totals.attacks;
    const held = heldBack === null ? null : heldBack(threshold);
    return {
      threshold,
      balancedAccuracy: (recall + 1 - validationFalseRate) / 2,
      validationFalseRate,
      heldBackFalseRate: held,
      isWithinMaximum: Math.max(isJudgedByTwin ? validationFalseRate : 0, held ?? 0) <= request.maximumFalseRate,
    };
  });
  const allowed = candidates.filter((candidate) => candidate.isWithinMaximum);
  if (allowed.length === 0) return candidates[0]!;
  const best = Math.max(...allowed.map((candidate) => candidate.balancedAccuracy));
  const equallyGood = allowed.filter((candidate) => candidate.balancedAccuracy === best);
  return equallyGood[Math.floor(equallyGood.length / 2)]!;
}

/** Share of rows that may be at or above a threshold: a bin that the threshold cuts counts in full. */
function heldBackFalseRate(histogram: ScoreHistogram): (threshold: number) => number {
  const bins = histogram.counts.length;
  const atOrAbove = new Float64Array(bins + 1);
  for (let bin = bins - 1; bin >= 0; bin--) atOrAbove[bin] = atOrAbove[bin + 1]! + histogram.counts[bin]!;
  return (threshold) => atOrAbove[Math.min(bins - 1, Math.floor(threshold * bins))]! / histogram.rows;
}
