import type { RaisedAlarm } from './watch-run.js';

export interface AttackWindow {
  readonly startMs: number;
  readonly endMs: number;
  /** After the end, while the plant recovers from the attack, an alarm is no false one. */
  readonly recoveredMs: number;
}

export interface RunOutcome {
  readonly attack: string;
  readonly seed: number;
  readonly detected: boolean;
  /** From the attack's first row to the alarm, plant time. */
  readonly delayMs: number | null;
  /** Whether the alarm had cleared by the end of the run. */
  readonly cleared: boolean;
  /** Alarms before the attack or after the recovery. */
  readonly falseAlarms: number;
  /** Plant time in which an alarm would have been false. */
  readonly quietMs: number;
}

/** An attack counts as detected when an alarm is on at any of its rows; one that stays on from before is a false one. */
export function judge(
  run: { attack: string; seed: number; fromMs: number; toMs: number },
  window: AttackWindow,
  alarms: readonly RaisedAlarm[],
): RunOutcome {
  const during = alarms.filter(({ raisedAtMs }) => raisedAtMs >= window.startMs && raisedAtMs < window.endMs);
  const first = during[0];
  const falseAlarms = alarms.filter(
    ({ raisedAtMs }) => raisedAtMs < window.startMs || raisedAtMs >= window.recoveredMs,
  );
  return {
    attack: run.attack,
    seed: run.seed,
    detected: first !== undefined,
    delayMs: first === undefined ? null : first.raisedAtMs - window.startMs,
    cleared: alarms.every(({ clearedAtMs }) => clearedAtMs !== null),
    falseAlarms: falseAlarms.length,
    quietMs: window.startMs - run.fromMs + Math.max(0, run.toMs - window.recoveredMs),
  };
}

export interface AttackSummary {
  readonly attack: string;
  readonly runs: number;
  readonly detected: number;
  readonly medianDelayMs: number | null;
  readonly longestDelayMs: number | null;
  readonly falseAlarms: number;
}

/** One line per attack, in the order of the catalogue. */
export function summarise(outcomes: readonly RunOutcome[]): AttackSummary[] {
  const names = [...new Set(outcomes.map(({ attack }) => attack))];
  return names.map((attack) => {
    const own = outcomes.filter((outcome) => outcome.attack === attack);
    const delays = own.flatMap(({ delayMs }) => (delayMs === null ? [] : [delayMs])).sort((a, b) => a - b);
    return {
      attack,
      runs: own.length,
      detected: own.filter(({ detected }) => detected).length,
      medianDelayMs: delays[Math.floor((delays.length - 1) / 2)] ?? null,
      longestDelayMs: delays.at(-1) ?? null,
      falseAlarms: own.reduce((sum, { falseAlarms }) => sum + falseAlarms, 0),
    };
  });
}
