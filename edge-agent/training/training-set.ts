import type { LabelRange, StoredAlarm } from '../store/agent-database.js';
import { ANOMALOUS, NORMAL, UNKNOWN, UNLABELLED } from '../store/row-table.js';

/** Which stored rows may be learned from, and as what. Pure. */

export interface RowFacts {
  readonly count: number;
  /** Source time, oldest first. */
  readonly timesMs: Float64Array;
  /** [count] RowLabel. */
  readonly labels: Int8Array;
  /** 1 for rows from a history file. */
  readonly imported: Uint8Array;
}

export interface TrainingRules {
  /** A live row is learned from only once it is this old; so are rows this close to an alarm that nobody dismissed. */
  readonly quarantineMs: number;
  readonly alarms: readonly Omit<StoredAlarm, 'decided'>[];
  /** Later ones overrule earlier ones, and all overrule everything else. */
  readonly labels: readonly Pick<LabelRange, 'fromMs' | 'toMs' | 'label'>[];
}

export interface TrainingSet {
  /** Indices of rows, oldest first. */
  readonly training: Int32Array;
  /** Normal rows, newer than every other normal training row that was not decided on; never trained on. */
  readonly holdout: Int32Array;
  /** [rows] 0 normal, 1 anomalous, −1 not to be learned from. */
  readonly verdicts: Int8Array;
  /** [rows] 1 for rows of an alarm that was confirmed or dismissed, and of ranges called anomalous: they count more in a fit, and are never held back. */
  readonly decided: Uint8Array;
  /** [rows] 1 for rows that neither a person nor a label tag has labelled. */
  readonly assumed: Uint8Array;
  readonly eligible: number;
  /** Of the eligible, those that a person or a label tag has labelled. */
  readonly labelled: number;
}

const HOLDOUT_SHARE = 0.2;
const NOT_ELIGIBLE = -1;

/**
 * Imported rows count as normal unless they say otherwise; live rows count as normal once out of quarantine and not near an alarm that was not dismissed.
 * Rows of an alarm that is over are normal once it is dismissed, anomalous once it is confirmed, in quarantine or not. A label tag
 * overrules that, a labelled time range overrules all.
 */
export function trainingSet(rows: RowFacts, rules: TrainingRules): TrainingSet {
  const verdicts = new Int8Array(rows.count).fill(NOT_ELIGIBLE);
  const byPerson = new Uint8Array(rows.count);
  const decided = new Uint8Array(rows.count);
  const newestMs = rows.timesMs[rows.count - 1] ?? 0;
  for (let i = 0; i < rows.count; i++) {
    const out = rows.imported[i] === 1 || rows.timesMs[i]! <= newestMs - rules.quarantineMs;
    if (rows.labels[i] === UNLABELLED && out) verdicts[i] = NORMAL;
  }
  const { alarms, quarantineMs } = rules;
  for (const { raisedMs, clearedMs, verdict } of alarms) {
    if (verdict === 'dismissed') continue;
    const endMs = clearedMs ?? Number.POSITIVE_INFINITY;
    forEachLive(rows, raisedMs - quarantineMs, endMs + quarantineMs, (i) => {
      verdicts[i] = NOT_ELIGIBLE;
    });
  }
  // A person's word about one alarm goes before the surroundings of the next.
  for (const { raisedMs, clearedMs, verdict } of alarms) {
    if (verdict === null || clearedMs === null) continue;
    forEachLive(rows, raisedMs, clearedMs, (i) => {
      if (rows.timesMs[i] === clearedMs) return;
      verdicts[i] = verdict === 'dismissed' ? NORMAL : ANOMALOUS;
      byPerson[i] = 1;
      decided[i] = 1;
    });
  }
  for (let i = 0; i < rows.count; i++) {
    const label = rows.labels[i]!;
    if (label === UNKNOWN) verdicts[i] = NOT_ELIGIBLE;
    if (label !== NORMAL && label !== ANOMALOUS) continue;
    verdicts[i] = label;
    byPerson[i] = 1;
    decided[i] = 0;
  }
  for (const { fromMs, toMs, label } of rules.labels)
    for (let i = firstAt(rows.timesMs, fromMs); i < rows.count && rows.timesMs[i]! <= toMs; i++) {
      verdicts[i] = label === 'normal' ? NORMAL : ANOMALOUS;
      byPerson[i] = 1;
      decided[i] = label === 'normal' ? 0 : 1;
    }
  return split(verdicts, byPerson, decided);
}

/** Imported rows were there before the alarm machine was, so an alarm says nothing about them. Both ends included. */
function forEachLive(rows: RowFacts, fromMs: number, toMs: number, visit: (row: number) => void): void {
  for (let i = firstAt(rows.timesMs, fromMs); i < rows.count && rows.timesMs[i]! <= toMs; i++)
    if (rows.imported[i] !== 1) visit(i);
}

function split(verdicts: Int8Array, byPerson: Uint8Array, decided: Uint8Array): TrainingSet {
  // Rows that a detector was wrong about are few, and as new as the alarm: held back, they would teach it nothing.
  const mayBeHeldBack = (i: number) => verdicts[i] === NORMAL && decided[i] === 0;
  let normal = 0;
  let eligible = 0;
  let labelled = 0;
  for (const [i, verdict] of verdicts.entries()) {
    if (verdict === NOT_ELIGIBLE) continue;
    eligible++;
    labelled += byPerson[i]!;
    if (mayBeHeldBack(i)) normal++;
  }
  const heldBack = Math.floor(normal * HOLDOUT_SHARE);
  const training: number[] = [];
  const holdout: number[] = [];
  let normalSeen = 0;
  for (const [i, verdict] of verdicts.entries()) {
    if (verdict === NOT_ELIGIBLE) continue;
    if (mayBeHeldBack(i) && ++normalSeen > normal - heldBack) holdout.push(i);
    else training.push(i);
  }
  return {
    training: Int32Array.from(training),
    holdout: Int32Array.from(holdout),
    ...{ verdicts, decided, eligible, labelled },
    assumed: byPerson.map((named) => 1 - named),
  };
}

/** Index of the first time not before `timeMs`. */
function firstAt(timesMs: Float64Array, timeMs: number): number {
  let low = 0;
  let high = timesMs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (timesMs[middle]! < timeMs) low = middle + 1;
    else high = middle;
  }
  return low;
}
