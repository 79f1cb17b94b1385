import { describe, expect, it } from 'vitest';
import { type TrainingRules, trainingSet } from './training-set.js';

type Alarm = TrainingRules['alarms'][number];

/** Rows one second apart; `labels` as in the store (−1 none, 0 normal, 1 anomalous, 2 unknown). */
function set(
  count: number,
  options: {
    imported?: boolean;
    labels?: Record<number, number>;
    alarms?: Alarm[];
    ranges?: TrainingRules['labels'];
    quarantineMs?: number;
  } = {},
) {
  const rows = {
    count,
    timesMs: Float64Array.from({ length: count }, (_, i) => i * 1_000),
    labels: Int8Array.from({ length: count }, (_, i) => options.labels?.[i] ?? -1),
    imported: new Uint8Array(count).fill(options.imported ? 1 : 0),
  };
  return trainingSet(rows, {
    quarantineMs: options.quarantineMs ?? 3_000,
    alarms: options.alarms ?? [],
    labels: options.ranges ?? [],
  });
}
const alarm = (raised: number, cleared: number | null, verdict: Alarm['verdict'] = null): Alarm => ({
  alarmId: 'a:1',
  raisedMs: raised * 1_000,
  clearedMs: cleared === null ? null : cleared * 1_000,
  verdict,
});

describe('trainingSet', () => {
  it('keeps live rows in quarantine, and holds the newest fifth back', () => {
    const { training, holdout, eligible, labelled } = set(13);
    expect([...training]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect([...holdout]).toEqual([8, 9]);
    expect({ eligible, labelled }).toEqual({ eligible: 10, labelled: 0 });
  });

  it('takes imported rows at once, but none that is labelled as unknown', () => {
    const { training, holdout } = set(10, { imported: true, labels: { 2: 2, 3: 0, 4: 1 } });
    expect([...training]).toEqual([0, 1, 3, 4, 5, 6, 7, 8]);
    expect([...holdout]).toEqual([9]);
  });

  it('leaves out rows before, during and after an alarm until it is dismissed', () => {
    const eligible = (alarms: Alarm[]) => {
      const { training, holdout } = set(30, { quarantineMs: 2_000, alarms });
      return [...training, ...holdout];
    };
    const around = (from: number, to: number) =>
      Array.from({ length: 28 }, (_, i) => i).filter((i) => i < from || i > to);
    expect(eligible([alarm(10, 12)])).toEqual(around(8, 14));
    expect(eligible([alarm(10, null)])).toEqual(around(8, 99));
    expect(eligible([alarm(10, 12, 'dismissed')])).toEqual(around(99, 0));
  });

  it('learns a dismissed alarm at once, in quarantine and beside another alarm, and holds none of it back', () => {
    const alarms = [alarm(20, 23, 'dismissed'), alarm(24, 26), alarm(28, null, 'dismissed')];
    const { training, holdout, verdicts, decided, labelled } = set(30, { quarantineMs: 8_000, alarms });
    expect([...training].slice(-3)).toEqual([20, 21, 22]);
    expect([...training, ...holdout].filter((row) => row > 15)).toEqual([20, 21, 22]);
    expect([...holdout]).toEqual([13, 14, 15]);
    expect([...decided.keys()].filter((row) => decided[row] === 1)).toEqual([20, 21, 22]);
    expect([verdicts[19], verdicts[23], verdicts[28], labelled]).toEqual([-1, -1, -1, 3]);
  });

  it('lets a labelled range say otherwise than the verdict on an alarm, and weighs only ranges called anomalous', () => {
    const { verdicts, decided } = set(20, {
      alarms: [alarm(5, 8, 'confirmed')],
      ranges: [
        { fromMs: 6_000, toMs: 9_000, label: 'normal' },
        { fromMs: 1_000, toMs: 2_000, label: 'anomalous' },
      ],
    });
    expect([...verdicts.slice(0, 10)]).toEqual([0, 1, 1, -1, -1, 1, 0, 0, 0, 0]);
    expect([...decided.slice(0, 10)]).toEqual([0, 1, 1, 0, 0, 1, 0, 0, 0, 0]);
  });

  it('learns a confirmed alarm as anomalous, and never holds it back', () => {
    const { training, holdout, verdicts } = set(30, { quarantineMs: 1_000, alarms: [alarm(26, 28, 'confirmed')] });
    expect([...verdicts].map((verdict, i) => (verdict === 1 ? i : -1)).filter((i) => i >= 0)).toEqual([26, 27]);
    expect([...training].slice(-2)).toEqual([26, 27]);
    expect([...holdout]).toEqual([20, 21, 22, 23, 24]);
  });

  it('lets a label tag overrule quarantine and alarms, and a labelled range overrule all, the later one first', () => {
    const { verdicts, labelled } = set(10, {
      quarantineMs: 100_000,
      labels: { 8: 0, 9: 1 },
      ranges: [
        { fromMs: 1_000, toMs: 3_000, label: 'anomalous' },
        { fromMs: 3_000, toMs: 4_000, label: 'normal' },
        { fromMs: 9_000, toMs: 9_000, label: 'normal' },
      ],
    });
    expect([...verdicts]).toEqual([-1, 1, 1, 0, 0, -1, -1, -1, 0, 0]);
    expect(labelled).toBe(6);
  });

  it('is empty for no rows', () => {
    expect(set(0)).toMatchObject({ eligible: 0, labelled: 0 });
  });
});
