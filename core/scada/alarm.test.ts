import { describe, expect, it } from 'vitest';
import { type AlarmInput, type AlarmState, alarmStep, QUIET_ALARM } from './alarm.js';

const PARAMETERS = { threshold: 0.5, onDelayRows: 2, offDelayRows: 3, hysteresis: 0.2 };

/** Transitions of scores given row by row, as 'raised@2', and the state after them. */
function run(scores: readonly (number | null | AlarmInput)[], from: AlarmState = QUIET_ALARM) {
  let state = from;
  const told: string[] = [];
  for (const [i, score] of scores.entries()) {
    const input: AlarmInput = score === null || typeof score === 'number' ? { kind: 'row', timeMs: i, score } : score;
    const step = alarmStep(state, input, PARAMETERS);
    state = step.state;
    told.push(...step.effects.map((effect) => `${effect.transition}@${effect.atMs}`));
  }
  return { state, told };
}

describe('alarmStep', () => {
  it('raises after the on-delay and clears after the off-delay', () => {
    expect(run([0.9, 0.1, 0.9, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1]).told).toEqual(['raised@3', 'cleared@7']);
  });

  it('is neither raised nor cleared between threshold and hysteresis', () => {
    expect(run([0.45, 0.45, 0.5, 0.5, 0.45, 0.45, 0.45, 0.39, 0.39, 0.45, 0.39, 0.39, 0.39]).told).toEqual([
      'raised@3',
      'cleared@12',
    ]);
  });

  it('lets abstaining rows neither raise nor clear, nor break a run', () => {
    expect(run([0.9, null, null, 0.9, 0.1, 0.1, null, null]).told).toEqual(['raised@3']);
    expect(run([0.9, null, 0.9, 0.1, 0.1, null, 0.1]).told).toEqual(['raised@2', 'cleared@6']);
  });

  it('acknowledges once, shelves until its time, and numbers alarms and transitions', () => {
    const { told, state } = run([
      0.9,
      0.9,
      { kind: 'acknowledge', timeMs: 1 },
      { kind: 'acknowledge', timeMs: 1 },
      { kind: 'shelve', timeMs: 1, untilMs: 6 },
      0.9,
      0.9,
      0.9,
    ]);
    expect(told).toEqual(['raised@1', 'acknowledged@1', 'shelved@1', 'unshelved@6']);
    expect(state).toMatchObject({
      alarmNumber: 1,
      transitionNumber: 4,
      active: { acknowledged: true, shelvedUntilMs: null },
    });
    expect(run([0.1, 0.1, 0.1, { kind: 'acknowledge', timeMs: 3 }, 0.9, 0.9], state)).toMatchObject({
      told: ['cleared@2', 'raised@5'],
      state: { alarmNumber: 2, transitionNumber: 1 },
    });
  });

  it('tells the highest score since the alarm was raised, also where a stored state did not have it', () => {
    const peaks = (from: AlarmState, scores: readonly number[], first = 0) => {
      let state = from;
      return scores.flatMap((score, i) => {
        const step = alarmStep(state, { kind: 'row', timeMs: first + i, score }, PARAMETERS);
        state = step.state;
        return step.effects.map(({ transition, peakScore }) => `${transition} ${peakScore}`);
      });
    };
    expect(peaks(QUIET_ALARM, [0.99, 0.1, 0.6, 0.7, 0.9, 0.8, 0.1, 0.1, 0.1, 0.6, 0.6])).toEqual([
      'raised 0.7',
      'cleared 0.9',
      'raised 0.6',
    ]);
    const seen = run([0.6, 0.7, 0.95, 0.8]).state;
    const step = alarmStep(seen, { kind: 'acknowledge', timeMs: 3 }, PARAMETERS);
    expect(step.effects).toMatchObject([{ transition: 'acknowledged', score: 0.8, peakScore: 0.95 }]);
    const { peakScore: _, ...earlier } = seen.active!;
    expect(peaks({ ...seen, active: earlier }, [0.1, 0.1, 0.1], 4)).toEqual(['cleared 0.8']);
  });

  it('goes on from a stored state', () => {
    const half = run([0.9]).state;
    expect(run([0.9], JSON.parse(JSON.stringify(half)) as AlarmState).told).toEqual(['raised@0']);
  });
});
