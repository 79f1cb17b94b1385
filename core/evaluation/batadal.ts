import { TwinwatchError } from '../errors.js';
import { balancedAccuracy, confusion, trueNegativeRate, truePositiveRate } from './confusion.js';
import { type Episode, episodesOf } from './episodes.js';

export interface BatadalScore {
  /** ½ · S_TTD + ½ · S_CM. */
  readonly s: number;
  readonly sTtd: number;
  readonly sCm: number;
  readonly truePositiveRate: number;
  readonly trueNegativeRate: number;
  /** One per attack: its rows, and rows from its start to the first alarm within it; null where missed. */
  readonly attacks: readonly { readonly episode: Episode; readonly delayRows: number | null }[];
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
  const attacks = episodesOf(request.labels).map((episode) => {
    const [start, end] = episode;
    let row = start;
    while (row < end && !alarms[row]) row++;
    return { episode, delayRows: row < end ? row - start : null };
  });
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
