import { checkLabelled, countLabels, type LabelledScores } from './labels.js';

export interface RankingAreas {
  /** Area under the ROC curve: the chance that a row under attack scores above a normal one, ties counting half (Mann–Whitney U). NaN where a class is missing. */
  readonly rocAuc: number;
  /**
   * Average precision: Σ (R_n − R_{n−1}) · P_n over the distinct scores from the highest down, tied rows being taken together. Not the
   * trapezoid, which is too kind. NaN where no row is under attack.
   */
  readonly prAuc: number;
}

/** Both, as the scores are sorted once for the two. */
export function rankingAreas(scores: LabelledScores['scores'], labels: LabelledScores['labels']): RankingAreas {
  const { attacks, normals } = countedClasses(scores, labels);
  let wins = 0;
  let normalsBelow = normals;
  let found = 0;
  let flagged = 0;
  let area = 0;
  for (const tied of tiesDescending(scores, labels)) {
    normalsBelow -= tied.normals;
    wins += tied.attacks * (normalsBelow + tied.normals / 2);
    found += tied.attacks;
    flagged += tied.attacks + tied.normals;
    area += (tied.attacks / attacks) * (found / flagged);
  }
  return {
    rocAuc: wins / (attacks * normals),
    // The sum of many shares may end a little above their whole.
    prAuc: attacks === 0 ? Number.NaN : Math.min(1, area),
  };
}

export function rocAuc(scores: LabelledScores['scores'], labels: LabelledScores['labels']): number {
  return rankingAreas(scores, labels).rocAuc;
}

export function prAuc(scores: LabelledScores['scores'], labels: LabelledScores['labels']): number {
  return rankingAreas(scores, labels).prAuc;
}

function countedClasses(scores: ArrayLike<number>, labels: ArrayLike<number>): { attacks: number; normals: number } {
  checkLabelled({ scores, labels });
  return countLabels(labels);
}

/** Rows with the same score, from the highest score to the lowest. */
export function* tiesDescending(
  scores: ArrayLike<number>,
  labels: ArrayLike<number>,
): Generator<{ score: number; attacks: number; normals: number }> {
  const order = descendingOrder(scores);
  for (let at = 0; at < order.length; ) {
    const score = scores[order[at]!]!;
    let attacks = 0;
    let normals = 0;
    for (; at < order.length && scores[order[at]!] === score; at++) {
      if (labels[order[at]!] === 1) attacks++;
      else normals++;
    }
    yield { score, attacks, normals };
  }
}

/** [rows] Row numbers, highest score first. */
function descendingOrder(scores: ArrayLike<number>): Uint32Array {
  const rows = scores.length;
  if (scores instanceof Float32Array && rows <= SORTED_AS_KEYS && scores.every((score) => score >= 0)) {
    // Bits of numbers above 0 are in the order of the numbers; with the row behind them a key fits a double, and no function is called to compare.
    const bits = new Uint32Array(scores.buffer, scores.byteOffset, rows);
    const keys = Float64Array.from(bits, (own, row) => own * SORTED_AS_KEYS + row).sort();
    return Uint32Array.from(keys, (_, i) => keys[rows - 1 - i]! % SORTED_AS_KEYS);
  }
  return Uint32Array.from({ length: rows }, (_, row) => row).sort((a, b) => scores[b]! - scores[a]!);
}

/** 2^20, so that bits and row are 52 bits. */
const SORTED_AS_KEYS = 1_048_576;
