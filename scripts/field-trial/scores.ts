import { affiliation } from '@twinwatch/core/evaluation/affiliation';
import { batadalScore } from '@twinwatch/core/evaluation/batadal';
import { balancedAccuracy, confusion, f1 } from '@twinwatch/core/evaluation/confusion';
import {
  episodePrecision,
  episodeRecall,
  episodesOf,
  falseAlarmEpisodesPerDay,
} from '@twinwatch/core/evaluation/episodes';
import { rankingAreas } from '@twinwatch/core/evaluation/ranking';
import type { AlarmRow, AttackRow, DetectorScores } from './field-trial-data.js';

/** 1 attack, 0 normal, null not labelled: such a row is neither right nor wrong. */
export type Label = 0 | 1 | null;

export interface Judged {
  /** [rows], finite; higher is more suspicious. */
  readonly score: readonly number[];
  /** [rows], what is said to be under attack. */
  readonly alarm: readonly boolean[];
  readonly label: readonly Label[];
  readonly intervalMs: number;
}

/** Over labelled rows only; null where these do not have both attacks and normal rows. */
export function scoresOf({ score, alarm, label, intervalMs }: Judged): DetectorScores | null {
  const rows = [...label.keys()].filter((row) => label[row] !== null);
  const labels = rows.map((row) => label[row]!);
  const alarms = rows.map((row) => alarm[row]!);
  const values = rows.map((row) => score[row]!);
  if (!labels.includes(1) || !labels.includes(0)) return null;
  const batadal = batadalScore({ scoresAboveThreshold: alarms, labels });
  const counts = confusion(alarms, labels);
  return {
    S: batadal.s,
    STTD: batadal.sTtd,
    SCM: batadal.sCm,
    TPR: batadal.truePositiveRate,
    TNR: batadal.trueNegativeRate,
    F1: f1(counts),
    balancedAccuracy: balancedAccuracy(counts),
    ...rankingAreas(values, labels),
    falseAlarmsPerDay: falseAlarmEpisodesPerDay({ alarms, labels, intervalMs }),
    episodeRecall: episodeRecall({ alarms, labels }),
    episodePrecision: alarms.includes(true) ? episodePrecision({ alarms, labels }) : null,
    affiliationF1: affiliation({ alarms, labels }).f1,
  };
}

const HOUR_MS = 3_600_000;

/** What became of each labelled attack. `timeMs` and `alarm` are [rows]. */
export function attackRows(
  timeMs: readonly number[],
  alarm: readonly boolean[],
  label: readonly Label[],
  intervalMs: number,
): AttackRow[] {
  return episodesOf(label.map((value) => value === 1)).map(([start, end], i) => {
    const first = alarm.slice(start, end).indexOf(true);
    const detectedAtMs = first === -1 ? null : timeMs[start + first]!;
    const rows = first === -1 ? end - start : first;
    return {
      name: `attack ${i + 1}`,
      startMs: timeMs[start]!,
      endMs: timeMs[end - 1]!,
      detected: detectedAtMs !== null,
      detectedAtMs,
      timeToDetectionHours: (rows * intervalMs) / HOUR_MS,
      durationHours: ((end - start) * intervalMs) / HOUR_MS,
    };
  });
}

/** [rows]: whether an alarm was on after that row. */
export function alarmAt(
  timeMs: readonly number[],
  alarms: readonly Pick<AlarmRow, 'raisedAtMs' | 'clearedAtMs'>[],
): boolean[] {
  return timeMs.map((at) =>
    alarms.some(({ raisedAtMs, clearedAtMs }) => raisedAtMs <= at && at < (clearedAtMs ?? Number.POSITIVE_INFINITY)),
  );
}
