import { episodesOf } from '@twinwatch/core/evaluation/episodes';
import { type Frame, line, linear, path, px, rect, svg, text, ticks, xAxis, yAxis } from '../report/svg.js';
import { type CurvePoint, thinned } from './curves.js';
import type { AttackRow, BaselineScores, DetectorScores, ScoreSeries, TrialRound } from './field-trial-data.js';
import { bytesWords, dayWords, hoursWords, scoreWords, timeWords } from './report-words.js';

/** The report's plots: data in, an <svg> element as text out. Colours are classes, defined by the report's style sheet. */

const DAY_MS = 86_400_000;

/** Score against time; attacks shaded and named, alarms as a strip below. */
export function scorePlot(series: ScoreSeries, attacks: readonly AttackRow[], intervalMs: number): string {
  const frame: Frame = { width: 1100, height: 250, left: 44, right: 1092, top: 22, bottom: 204 };
  const first = series.timeMs[0] ?? 0;
  const last = (series.timeMs.at(-1) ?? first) + intervalMs;
  const x = linear(first, last, frame.left, frame.right);
  const y = linear(0, 1, frame.bottom, frame.top);
  const shades = attacks.map(({ name, startMs, endMs }) => {
    const from = x(startMs);
    const to = x(endMs + intervalMs);
    return (
      rect(
        from,
        frame.top,
        Math.max(1.5, to - from),
        frame.bottom - frame.top,
        'attack',
        `${name}, ${timeWords(startMs)} to ${timeWords(endMs)}`,
      ) + text((from + to) / 2, frame.top - 7, name, 'middle', 'attack-name')
    );
  });
  const strips = episodesOf(series.alarm).map(([start, next]) => {
    const end = next - 1;
    const from = x(series.timeMs[start]!);
    const to = x(series.timeMs[end]! + intervalMs);
    return rect(
      from,
      frame.bottom + 26,
      Math.max(1.5, to - from),
      12,
      'alarm',
      `Alarm ${timeWords(series.timeMs[start]!)} to ${timeWords(series.timeMs[end]!)}`,
    );
  });
  const days = Math.max(1, (last - first) / DAY_MS);
  const step = [1, 2, 7, 14, 28, 56, 182].find((each) => days / each <= 12) ?? 364;
  const start = Math.ceil(first / DAY_MS);
  const dates = Array.from({ length: Math.floor(last / DAY_MS) - start + 1 }, (_, index) => start + index)
    .filter((day) => (day - start) % step === 0)
    .map((day) => day * DAY_MS)
    // A label is about 70 wide and stands in the middle under its mark.
    .filter((date) => x(date) <= frame.right - 27);
  const points = thinned(series.timeMs, series.score, frame.right - frame.left);
  return svg(
    frame,
    `Score against time, threshold ${scoreWords(series.threshold)}, ${attacks.length} attacks shaded, ${strips.length} alarms`,
    [
      ...shades,
      yAxis(frame, y, [0, 0.25, 0.5, 0.75, 1], String),
      xAxis(frame, x, dates, dayWords),
      path(
        points.map((point) => ({ x: x(point.x), y: point.y === null ? null : y(point.y) })),
        'trace thin',
      ),
      line(frame.left, y(series.threshold), frame.right, y(series.threshold), 'threshold'),
      text(frame.left - 6, frame.bottom + 36, 'alarm', 'end'),
      rect(frame.left, frame.bottom + 26, frame.right - frame.left, 12, 'strip'),
      ...strips,
    ],
  );
}

/** A curve in the unit square with a dashed line of no skill from (0, `chance[0]`) to (1, `chance[1]`). */
export function curvePlot(
  title: string,
  axes: { readonly x: string; readonly y: string },
  points: readonly CurvePoint[],
  chance: readonly [number, number],
): string {
  const frame: Frame = { width: 400, height: 340, left: 50, right: 390, top: 12, bottom: 290 };
  const x = linear(0, 1, frame.left, frame.right);
  const y = linear(0, 1, frame.bottom, frame.top);
  const marks = [0, 0.25, 0.5, 0.75, 1];
  return svg(frame, title, [
    xAxis(frame, x, marks, String),
    yAxis(frame, y, marks, String),
    line(x(0), y(chance[0]), x(1), y(chance[1]), 'threshold'),
    path(
      points.map((point) => ({ x: x(point.x), y: y(point.y) })),
      'trace',
    ),
    text((frame.left + frame.right) / 2, frame.height - 10, axes.x, 'middle'),
    `<g transform="translate(12 ${px((frame.top + frame.bottom) / 2)}) rotate(-90)">${text(0, 0, axes.y, 'middle')}</g>`,
  ]);
}

/** Validation over the rounds as lines, bytes per round as bars. Null where there was no round. */
export function roundsPlot(rounds: readonly TrialRound[]): string | null {
  if (rounds.length === 0) return null;
  const frame: Frame = { width: 820, height: 270, left: 44, right: 762, top: 12, bottom: 236 };
  const judged = rounds.flatMap(({ validation }) => (validation === null ? [] : [validation.rocAuc, validation.prAuc]));
  const low = Math.min(0.9, Math.floor(Math.min(1, ...judged) * 10) / 10);
  const most = Math.max(1, ...rounds.map(({ bytesUp, bytesDown }) => bytesUp + bytesDown));
  const firstRound = rounds[0]!.round;
  const lastRound = rounds.at(-1)!.round;
  const x = linear(firstRound - 0.6, lastRound + 0.6, frame.left, frame.right);
  const y = linear(low, 1, frame.bottom, frame.top);
  const bytes = linear(0, most * 2.5, frame.bottom, frame.top);
  const barWidth = Math.min(26, ((frame.right - frame.left) / (lastRound - firstRound + 1.2)) * 0.6);
  const bars = rounds.map(({ round, bytesUp, bytesDown }) => {
    const down = bytes(bytesDown);
    const up = bytes(bytesDown + bytesUp);
    const left = x(round) - barWidth / 2;
    const words = `Round ${round}: ${bytesWords(bytesUp)} up, ${bytesWords(bytesDown)} down`;
    return (
      rect(left, down, barWidth, frame.bottom - down, 'down', words) + rect(left, up, barWidth, down - up, 'up', words)
    );
  });
  const curve = (key: 'rocAuc' | 'prAuc', className: string) =>
    path(
      rounds.map(({ round, validation }) => ({ x: x(round), y: validation === null ? null : y(validation[key]) })),
      className,
    );
  const byteMarks = ticks(0, most, 2).filter((mark) => mark > 0);
  return svg(frame, `Validation ROC AUC and PR AUC, and bytes, over ${rounds.length} rounds`, [
    yAxis(frame, y, ticks(low, 1, 5), String),
    ...bars,
    ...byteMarks.map((mark) => text(frame.right + 6, bytes(mark) + 4, bytesWords(mark), 'start')),
    ...ticks(firstRound, lastRound, Math.min(20, rounds.length))
      .filter(Number.isInteger)
      .map((round) => text(x(round), frame.bottom + 16, String(round), 'middle')),
    curve('prAuc', 'trace second'),
    curve('rocAuc', 'trace'),
    text((frame.left + frame.right) / 2, frame.height - 2, 'round', 'middle'),
  ]);
}

const COMPARED = [
  { key: 'S', words: 'S' },
  { key: 'balancedAccuracy', words: 'balanced accuracy' },
  { key: 'F1', words: 'F1' },
  { key: 'prAuc', words: 'PR AUC' },
] as const;

/** Ours against the baselines, one group of bars per measure. */
export function comparisonPlot(scores: DetectorScores, baselines: readonly BaselineScores[]): string {
  const rows = [{ name: 'Twinwatch', scores, ours: true }, ...baselines.map((each) => ({ ...each, ours: false }))];
  const rowHeight = 20;
  const groupHeight = rows.length * rowHeight + 34;
  const columns = 2;
  const height = Math.ceil(COMPARED.length / columns) * groupHeight;
  const frame: Frame = { width: 820, height, left: 0, right: 820, top: 0, bottom: height };
  const groups = COMPARED.map(({ key, words }, group) => {
    const left = (group % columns) * 420;
    const top = Math.floor(group / columns) * groupHeight;
    const bar = linear(0, 1, 0, 220);
    return [
      text(left, top + 15, words, 'start', 'heading'),
      ...rows.map((row, index) => {
        const y = top + 24 + index * rowHeight;
        const value = row.scores[key];
        return (
          text(left + 104, y + 12, row.name, 'end', row.ours ? 'heading' : 'axis') +
          rect(left + 112, y, 220, 15, 'strip') +
          rect(left + 112, y, bar(Math.min(1, Math.max(0, value || 0))), 15, row.ours ? 'ours' : 'baseline') +
          text(left + 340, y + 12, scoreWords(value), 'start', row.ours ? 'heading' : 'axis')
        );
      }),
    ].join('');
  });
  return svg(frame, 'Twinwatch against the baselines: S, balanced accuracy, F1 and PR AUC', groups);
}

/** How much of each attack went by before the alarm. Null where there was no attack. */
export function delayPlot(attacks: readonly AttackRow[]): string | null {
  if (attacks.length === 0) return null;
  const rowHeight = 26;
  const frame: Frame = {
    width: 820,
    height: attacks.length * rowHeight + 34,
    left: 130,
    right: 690,
    top: 4,
    bottom: attacks.length * rowHeight + 4,
  };
  const longest = Math.max(...attacks.map(({ durationHours }) => durationHours));
  const x = linear(0, longest, frame.left, frame.right);
  return svg(frame, `Time to detection of ${attacks.length} attacks, in hours`, [
    xAxis(frame, x, ticks(0, longest, 6), String),
    ...attacks.map((attack, index) => {
      const y = frame.top + index * rowHeight + 5;
      const reached = attack.detected ? attack.timeToDetectionHours : attack.durationHours;
      const words = attack.detected
        ? `${hoursWords(attack.timeToDetectionHours)} of ${hoursWords(attack.durationHours)}`
        : `missed, ${hoursWords(attack.durationHours)}`;
      return (
        text(frame.left - 8, y + 13, attack.name, 'end') +
        rect(frame.left, y, x(attack.durationHours) - frame.left, 16, attack.detected ? 'seen' : 'strip') +
        rect(frame.left, y, x(reached) - frame.left, 16, attack.detected ? 'delay' : 'missed') +
        text(x(attack.durationHours) + 8, y + 13, words, 'start', attack.detected ? 'axis' : 'heading')
      );
    }),
    text((frame.left + frame.right) / 2, frame.height - 2, 'hours since the attack began', 'middle'),
  ]);
}
