import { describe, expect, it } from 'vitest';
import { advance, dueInMs, forgetReads, isPlcRead, recordRead, type StepperState, startStepper } from './stepper.js';

const clock = { table: 'input', address: 0, count: 4 } as const;
const level = { table: 'holding', address: 0, count: 2 } as const;
const flow = { table: 'holding', address: 2, count: 1 } as const;
const pump = { table: 'coil', address: 0, count: 1 } as const;
const free = { freeRows: 0, rowsPerSecond: null };

const fresh = (nowMs = 0) =>
  startStepper(
    new Map([
      ['PLC1', { tags: [level, flow], clock }],
      ['PLC2', { tags: [pump], clock: null }],
    ]),
    0,
    nowMs,
  );

const read = (state: StepperState, ...reads: [string, typeof clock | typeof level | typeof flow | typeof pump][]) =>
  reads.reduce((now, [plc, span]) => recordRead(now, plc, span), state);

describe('stepper', () => {
  it('is due only when every PLC was read whole, the clock once more after the last tag', () => {
    const almost = read(fresh(), ['PLC1', clock], ['PLC1', level], ['PLC1', flow], ['PLC2', pump]);
    expect(isPlcRead(almost, 'PLC1')).toBe(false);
    expect(dueInMs(almost, free, 0)).toBeNull();
    const whole = read(almost, ['PLC1', clock]);
    expect(isPlcRead(whole, 'PLC1')).toBe(true);
    expect(dueInMs(whole, free, 0)).toBe(0);
    expect(dueInMs(advance(whole, 0, free), free, 0)).toBeNull();
  });

  it('counts a tag only when all its registers came in one read, in whatever order', () => {
    const half = recordRead(fresh(), 'PLC1', { table: 'holding', address: 1, count: 2 });
    const torn = recordRead(half, 'PLC1', { table: 'holding', address: 0, count: 1 });
    expect(isPlcRead(read(torn, ['PLC1', clock]), 'PLC1')).toBe(false);
    expect(isPlcRead(read(torn, ['PLC1', level], ['PLC1', clock]), 'PLC1')).toBe(true);
  });

  it('forgets what a reader had when its connection goes', () => {
    const whole = read(fresh(), ['PLC1', level], ['PLC1', flow], ['PLC1', clock], ['PLC2', pump]);
    expect(dueInMs(forgetReads(whole, 'PLC1'), free, 0)).toBeNull();
  });

  it('holds the pace after the free rows, and does not catch up in a burst', () => {
    const pace = { freeRows: 1, rowsPerSecond: 10 };
    const readAll = (state: StepperState) =>
      read(state, ['PLC1', level], ['PLC1', flow], ['PLC1', clock], ['PLC2', pump]);
    const first = advance(readAll(fresh()), 0, pace);
    expect(first.rows).toBe(1);
    expect(dueInMs(readAll(first), pace, 30)).toBe(70);
    const second = advance(readAll(first), 104, pace);
    expect(dueInMs(readAll(second), pace, 104)).toBe(96);
    const late = advance(readAll(second), 900, pace);
    expect(dueInMs(readAll(late), pace, 900)).toBe(100);
    // A plant that resumes runs through many rows at once.
    const resumed = Array.from({ length: 50 }).reduce<StepperState>((state) => advance(state, 901, pace), late);
    expect(dueInMs(readAll(resumed), pace, 901)).toBe(100);
  });
});
