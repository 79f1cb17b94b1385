import { TwinwatchError } from '../errors.js';
import { balancedAccuracy, confusion, trueNegativeRate, truePositiveRate } from './confusion.js';
import { type Detection, detections } from './episodes.js';

export interface BatadalScore {
  /** ½ · S_TTD + ½ · S_CM. */
  readonly s: number;
  readonly sTtd: number;
  readonly sCm: number;
  readonly truePositiveRate: number;
  readonly trueNegativeRate: number;
  /** One per attack. */
  readonly attacks: readonly Detection[];
}

/**
 * The ranking score of the BATADAL competition (Taormina et al. 2018, doi 10.1061/(ASCE)WR.1943-5452.0000969).
 * S_TTD = 1 − mean(TTD_i / Δt_i), Δt_i the labelled rows of attack i, a missed attack counting TTD_i = Δt_i; S_CM = (TPR + TNR) / 2.
 * An alarm that was on already when an attack began counts as detected at once, as in the competition.
 *
 * @throws TwinwatchError EVALUATION_SHAPE where lengths differ, a label is not 0 or 1, or attack or normal rows are missing.
 */
export function batadalScore(request: {
  readonly scoresAboveThreshold: ArrayLike<boolean | number>;
  readonly labels: ArrayLike<number>;
}): BatadalScore {
  const alarms = request.scoresAboveThreshold;
  const counts = confusion(alarms, request.labels);
  const sCm = balancedAccuracy(counts);
  if (Number.isNaN(sCm)) {
    throw new TwinwatchError(
      'EVALUATION_SHAPE',
      'the score S needs both attack and normal rows; the labels have one only',
    );
  }
  const attacks = detections({ alarms, labels: request.labels });
  const lost = attacks.map(({ episode: [start, end], delayRows }) => (delayRows ?? end - start) / (end - start));
  const sTtd = 1 - lost.reduce((sum, share) => sum + share, 0) / lost.length;
  return {
    s: (sTtd + sCm) / 2,
    sTtd,
    sCm,
    truePositiveRate: truePositiveRate(counts),
    trueNegativeRate: trueNegativeRate(counts),
    attacks,
  };
}
