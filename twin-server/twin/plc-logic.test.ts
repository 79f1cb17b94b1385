import { describe, expect, it } from 'vitest';
import type { Control } from './plant-config.js';
import { actuated, falsified, rewritten, scanLatch } from './plc-logic.js';

/** A pump that fills a tank: on below 2, off above 4. */
const PUMP: Control = {
  ...{ plc: 'P', actuator: 'PU', kind: 'pump', speed: 1, initially: 'off' },
  on: { tag: 'L', below: 2 },
  off: { tag: 'L', above: 4 },
};
const time = { startMs: 0, endMs: 1 };

/** Latches of a scan per level. */
function run(levels: readonly number[], control: Pick<Control, 'on' | 'off'>, latched = false): boolean[] {
  return levels.map((level) => {
    latched = scanLatch(latched, control, () => level);
    return latched;
  });
}
const marks = (latches: readonly boolean[]) => latches.map((on) => (on ? '1' : '0')).join('');

describe('what attacks make of a scan, row by row', () => {
  const levels = [3, 1.9, 2.5, 3.9, 4, 4.1, 3, 2.1, 2, 1.9, 3];

  it('nothing: on strictly below, off strictly above, else as before', () => {
    expect(marks(run(levels, PUMP))).toBe('01111000011');
  });

  it('rewritten thresholds, and the old ones after them', () => {
    const low = rewritten(PUMP, [{ kind: 'thresholds', actuator: 'PU', on: 0.5, off: 2.4, ...time }]);
    expect(marks(run(levels, low))).toBe('00000000000');
    // It runs until the level has passed 2.4, which it has from the first scan.
    expect(marks(run([2.2, 2.4, ...levels], low, true))).toBe('1100000000000');
    expect(rewritten(PUMP, [])).toEqual({ on: PUMP.on, off: PUMP.off });
    expect(rewritten(PUMP, [{ kind: 'thresholds', actuator: 'other', on: 0, ...time }]).on).toEqual(PUMP.on);
  });

  it('thresholds so narrow that it chatters: every scan that moves the level turns it', () => {
    const narrow = rewritten(PUMP, [{ kind: 'thresholds', actuator: 'PU', on: 2.99, off: 3.01, ...time }]);
    expect(marks(run([3, 2.9, 3.1, 2.9, 3.1, 2.9, 3.1, 3], narrow))).toBe('01010100');
    expect(marks(run([3, 2.9, 3.1, 2.9, 3.1, 2.9, 3.1, 3], PUMP))).toBe('00000000');
  });

  it('thresholds that cross: off wins', () => {
    const crossed = rewritten(PUMP, [{ kind: 'thresholds', actuator: 'PU', on: 5, off: 1, ...time }]);
    expect(marks(run([3, 0.9, 3], crossed))).toBe('010');
  });

  it('a false reading: constant, offset, the first one for ever, and a missing one that changes nothing', () => {
    const told = (effect: { constant?: number; offset?: number }) => levels.map((level) => falsified(effect, level, 3));
    expect(marks(run(told({ constant: 1 }), PUMP))).toBe('11111111111');
    expect(told({ offset: -1 }).slice(0, 3)).toEqual([2, expect.closeTo(0.9), 1.5]);
    expect(marks(run(told({ offset: -1 }), PUMP))).toBe('01111111111');
    expect(marks(run(told({}), PUMP))).toBe('00000000000');
    expect(marks(run([1, Number.NaN, 5, Number.NaN], PUMP))).toBe('1100');
  });

  it('force and speed, together and one after the other', () => {
    const off = { kind: 'force', actuator: 'PU', state: 'off', ...time } as const;
    const slow = { kind: 'speed', actuator: 'PU', speed: 0.8, ...time } as const;
    expect(actuated('PU', true, [])).toEqual({ on: true, speed: 1 });
    expect(actuated('PU', true, [slow])).toEqual({ on: true, speed: 0.8 });
    expect(actuated('PU', true, [off, slow])).toEqual({ on: false, speed: 0.8 });
    expect(actuated('PU', false, [{ ...off, state: 'on' }])).toEqual({ on: true, speed: 1 });
    expect(actuated('other', true, [off, slow])).toEqual({ on: true, speed: 1 });
  });
});
