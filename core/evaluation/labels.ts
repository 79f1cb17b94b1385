import { TwinwatchError } from '../errors.js';

/**
 * Labels as files and people give them, with what is not labelled kept apart: a row without a label is neither normal nor under attack.
 */
export interface LabelMask {
  /** [rows]; 1 under attack, 0 normal; of no meaning where not known. */
  readonly labels: Uint8Array;
  /** [rows]; 1 where the row has a label. */
  readonly known: Uint8Array;
}

/** Rows that are all labelled, as every measure of this folder wants them. */
export interface LabelledScores {
  /** [rows]; the higher, the more like an attack. */
  readonly scores: ArrayLike<number>;
  /** [rows]; 0 or 1 and nothing else. */
  readonly labels: ArrayLike<number>;
}

/** 0 and 1 are labels; anything else (−999, −1, NaN, a missing value) is none. */
export function maskLabels(raw: ArrayLike<number | null | undefined>): LabelMask {
  const known = Uint8Array.from({ length: raw.length }, (_, row) => (raw[row] === 0 || raw[row] === 1 ? 1 : 0));
  const labels = Uint8Array.from({ length: raw.length }, (_, row) => (raw[row] === 1 ? 1 : 0));
  return { labels, known };
}

/** The rows that have a label, in their order. @throws TwinwatchError EVALUATION_SHAPE where lengths differ. */
export function keepLabelled(scores: ArrayLike<number>, mask: LabelMask): { scores: Float64Array; labels: Uint8Array } {
  requireSameLength(scores.length, mask.known.length);
  const rows: number[] = [];
  mask.known.forEach((known, row) => {
    if (known === 1) rows.push(row);
  });
  return {
    scores: Float64Array.from(rows, (row) => scores[row]!),
    labels: Uint8Array.from(rows, (row) => mask.labels[row]!),
  };
}

/** @throws TwinwatchError EVALUATION_SHAPE for different lengths, labels other than 0 and 1, scores that are NaN. */
export function checkLabelled({ scores, labels }: LabelledScores): void {
  requireSameLength(scores.length, labels.length);
  for (let row = 0; row < labels.length; row++) {
    const label = labels[row];
    if (label !== 0 && label !== 1) {
      throw new TwinwatchError(
        'EVALUATION_SHAPE',
        `row ${row} has label ${label}; leave rows without a label out with maskLabels and keepLabelled`,
      );
    }
    if (Number.isNaN(scores[row])) {
      throw new TwinwatchError('EVALUATION_SHAPE', `row ${row} has no score; leave rows without one out`);
    }
  }
}

/** Whether both classes are there, without which most measures have no value. */
export function countLabels(labels: ArrayLike<number>): { attacks: number; normals: number } {
  let attacks = 0;
  for (let row = 0; row < labels.length; row++) attacks += labels[row]!;
  return { attacks, normals: labels.length - attacks };
}

function requireSameLength(scores: number, labels: number): void {
  if (scores === labels) return;
  throw new TwinwatchError('EVALUATION_SHAPE', `${scores} scores come with ${labels} labels; give one label per score`);
}
