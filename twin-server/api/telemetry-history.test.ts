import { HISTORY_ROWS } from '@twinwatch/core/wire/http';
import type { Telemetry } from '@twinwatch/core/wire/telemetry';
import { describe, expect, it } from 'vitest';
import { MAXIMUM_CELLS, TelemetryHistory } from './telemetry-history.js';

const row = (atMs: number, values: Record<string, number | null>, score: number | null = 0.5): Telemetry => ({
  atMs,
  score,
  values: Object.fromEntries(
    Object.entries(values).map(([tag, value]) => [tag, { value, quality: value === null ? 'stale' : 'good' }]),
  ),
});
const many = (count: number, at: (i: number) => number) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`T_${i}`, at(i)]));

describe('telemetry history', () => {
  it('keeps rows in order, once, with gaps where nothing was good, and tags that come later', () => {
    const history = new TelemetryHistory();
    history.add('a', row(1, { L: 1.23456789, P: null }));
    history.add('a', row(1, { L: 9, P: 9 }));
    history.add('a', row(2, { L: null, P: 12_345_678 }, null));
    history.add('a', row(3, { P: 0.1 }));
    expect(history.of('a')).toEqual({
      atMs: [1, 2, 3],
      score: [0.5, null, 0.5],
      values: { L: [1.2346, null, null], P: [null, 12_346_000, 0.1] },
    });
    expect(history.scores()).toEqual({ a: { atMs: [1, 2, 3], score: [0.5, null, 0.5] } });
    expect(history.of('b')).toEqual({ atMs: [], score: [], values: {} });
  });

  it('keeps the newest rows alone, with nothing left of older ones, and begins anew with its plant', () => {
    const history = new TelemetryHistory();
    const last = HISTORY_ROWS + 7;
    for (let i = 1; i <= last; i++) history.add('a', row(i, i <= 10 ? { L: i, P: i } : { L: i }));
    const { atMs, values } = history.of('a');
    expect([atMs.length, atMs[0], atMs.at(-1)]).toEqual([HISTORY_ROWS, 8, last]);
    expect(values?.L).toEqual(atMs);
    expect(values?.P?.filter((value) => value !== null)).toEqual([8, 9, 10]);
    history.add('a', row(2, { L: 5 }));
    expect(history.of('a')).toEqual({ atMs: [2], score: [0.5], values: { L: [5], P: [null] } });
  });

  it('takes no more room than it may, whoever comes', () => {
    const history = new TelemetryHistory(HISTORY_ROWS * 9);
    for (const agent of ['a', 'b', 'c'])
      history.add(
        agent,
        row(
          1,
          many(4, (i) => i),
        ),
      );
    expect(Object.keys(history.of('a').values!)).toHaveLength(4);
    expect(Object.keys(history.scores())).toEqual(['a']);
    history.add(
      'a',
      row(
        2,
        many(9, (i) => i),
      ),
    );
    expect(Object.keys(history.of('a').values!)).toHaveLength(6);
    // The documented bound: hundreds of agents of BATADAL's size.
    expect(MAXIMUM_CELLS / HISTORY_ROWS / (43 + 3)).toBeGreaterThan(300);
  });

  it('tells little: an agent with 43 tags in less than 100 kB, its scores in less than 6 kB', () => {
    const history = new TelemetryHistory();
    for (let t = 0; t < HISTORY_ROWS; t++)
      history.add(
        'a',
        row(
          1.7e12 + t * 1_000,
          many(43, (i) => 100 * Math.sin(t + i)),
          Math.abs(Math.sin(t)),
        ),
      );
    expect(JSON.stringify(history.of('a')).length).toBeLessThan(100_000);
    expect(JSON.stringify(history.scores()).length).toBeLessThan(6_000);
  });
});
