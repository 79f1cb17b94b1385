import { FeatureExtractor } from '@twinwatch/core/features/extractor';
import { type Scaler, scaleRows } from '@twinwatch/core/features/moments';
import type { FeatureSchema } from '@twinwatch/core/features/spec';
import { type AlarmParameters, type AlarmState, alarmStep, QUIET_ALARM } from '@twinwatch/core/scada/alarm';
import type { Row } from '@twinwatch/core/scada/sample';

/** Rows as a detector sees them. */
type WatchedRow = Pick<Row, 'timeMs' | 'values'>;

/** What scores come from: scaled features [count × inputs] → [count]. */
export type Score = (scaled: Float32Array) => Promise<Float32Array>;

export interface Watch {
  readonly schema: FeatureSchema;
  readonly scaler: Scaler;
  readonly alarm: AlarmParameters;
  readonly score: Score;
}

export interface RaisedAlarm {
  readonly raisedAtMs: number;
  readonly clearedAtMs: number | null;
}

/** Lets a detector watch recorded rows as an agent would: the same features, score and alarm, without the wall clock. */
export async function watchRows(watch: Watch, rows: readonly WatchedRow[]): Promise<RaisedAlarm[]> {
  return alarmsOf(rows, await scoreRows(watch, rows), watch.alarm);
}

/** [rows]; null where the detector abstains. */
export async function scoreRows(
  { schema, scaler, score }: Omit<Watch, 'alarm'>,
  rows: readonly WatchedRow[],
): Promise<(number | null)[]> {
  const extractor = new FeatureExtractor(schema);
  const inputs = extractor.inputs;
  const features = new Float32Array(rows.length * inputs);
  let count = 0;
  const places = rows.map((row) => {
    const extracted = extractor.push(row);
    if (extracted === null) return null;
    features.set(extracted, inputs * count);
    return count++;
  });
  const scores = await score(scaleRows(features.subarray(0, count * inputs), scaler, inputs));
  return places.map((at) => (at === null ? null : scores[at]!));
}

/** @param scores [rows], null where the detector abstained. */
export function alarmsOf(
  rows: readonly WatchedRow[],
  scores: readonly (number | null)[],
  alarm: AlarmParameters,
): RaisedAlarm[] {
  const alarms: RaisedAlarm[] = [];
  let state: AlarmState = QUIET_ALARM;
  for (const [i, { timeMs }] of rows.entries()) {
    const step = alarmStep(state, { kind: 'row', timeMs, score: scores[i]! }, alarm);
    state = step.state;
    for (const { transition, atMs } of step.effects) {
      if (transition === 'raised') alarms.push({ raisedAtMs: atMs, clearedAtMs: null });
      else if (transition === 'cleared') alarms.push({ raisedAtMs: alarms.pop()!.raisedAtMs, clearedAtMs: atMs });
    }
  }
  return alarms;
}
