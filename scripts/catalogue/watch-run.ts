import { FeatureExtractor } from '@twinwatch/core/features/extractor';
import { type Scaler, scaleRows } from '@twinwatch/core/features/moments';
import type { FeatureSchema } from '@twinwatch/core/features/spec';
import { type AlarmParameters, type AlarmState, alarmStep, QUIET_ALARM } from '@twinwatch/core/scada/alarm';
import type { PlantRow } from '@twinwatch/twin-server/twin/plant';

/** What a detector's scores come from: scaled features [count × inputs] → [count]. */
type Score = (scaled: Float32Array) => Promise<Float32Array>;

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
export async function watchRows(
  watch: Watch,
  rows: readonly Pick<PlantRow, 'timeMs' | 'scada'>[],
): Promise<RaisedAlarm[]> {
  const { schema, scaler, alarm, score } = watch;
  const extractor = new FeatureExtractor(schema);
  const inputs = extractor.inputs;
  const features = new Float32Array(rows.length * inputs);
  const times: { timeMs: number; at: number | null }[] = [];
  let count = 0;
  for (const { timeMs, scada } of rows) {
    const row = extractor.push({ timeMs, values: scada });
    times.push({ timeMs, at: row === null ? null : count });
    if (row !== null) features.set(row, inputs * count++);
  }
  const scores = await score(scaleRows(features.subarray(0, count * inputs), scaler, inputs));

  const alarms: RaisedAlarm[] = [];
  let state: AlarmState = QUIET_ALARM;
  for (const { timeMs, at } of times) {
    const step = alarmStep(state, { kind: 'row', timeMs, score: at === null ? null : scores[at]! }, alarm);
    state = step.state;
    for (const { transition, atMs } of step.effects) {
      if (transition === 'raised') alarms.push({ raisedAtMs: atMs, clearedAtMs: null });
      else if (transition === 'cleared') alarms.push({ raisedAtMs: alarms.pop()!.raisedAtMs, clearedAtMs: atMs });
    }
  }
  return alarms;
}
