import { checkLabelled } from './labels.js';

/** Counts of rows. */
export interface Confusion {
  readonly truePositives: number;
  readonly falsePositives: number;
  readonly trueNegatives: number;
  readonly falseNegatives: number;
}

/** @param alarms [rows], true or 1 where an attack was said. @param labels [rows], 0 or 1. @throws TwinwatchError EVALUATION_SHAPE. */
export function confusion(alarms: ArrayLike<boolean | number>, labels: ArrayLike<number>): Confusion {
  const said = Uint8Array.from({ length: alarms.length }, (_, row) => (alarms[row] ? 1 : 0));
  checkLabelled({ scores: said, labels });
  const counts = [0, 0, 0, 0];
  said.forEach((alarm, row) => {
    counts[2 * labels[row]! + alarm]!++;
  });
  return {
    trueNegatives: counts[0]!,
    falsePositives: counts[1]!,
    falseNegatives: counts[2]!,
    truePositives: counts[3]!,
  };
}

/** Share of the attack rows that were alarmed; NaN without attack rows. */
export function truePositiveRate(counts: Confusion): number {
  return counts.truePositives / (counts.truePositives + counts.falseNegatives);
}

/** Share of the normal rows that were quiet; NaN without normal rows. */
export function trueNegativeRate(counts: Confusion): number {
  return counts.trueNegatives / (counts.trueNegatives + counts.falsePositives);
}

/** Harmonic mean of precision and recall; 0 where nothing was found. */
export function f1(counts: Confusion): number {
  const { truePositives, falsePositives, falseNegatives } = counts;
  return truePositives === 0 ? 0 : (2 * truePositives) / (2 * truePositives + falsePositives + falseNegatives);
}

/** (TPR + TNR) / 2: 0.5 for a constant answer, however rare attacks are. */
export function balancedAccuracy(counts: Confusion): number {
  return (truePositiveRate(counts) + trueNegativeRate(counts)) / 2;
}
