import type { Tag } from '@twinwatch/core/scada/tag';
import type { RoundView } from '@twinwatch/core/wire/http';
import { describe, expect, it } from 'vitest';
import {
  bytesWords,
  countWords,
  durationWords,
  roundBytes,
  scoreWords,
  shareWords,
  silentWords,
  spanWords,
  tagValueWords,
  timeAxisWords,
  trafficWords,
  valueWords,
} from '../wording.js';

const FLOW: Tag = { name: 'F', unit: 'L/s', kind: 'analog', resolution: 0.1 };
const ROUND: RoundView = {
  ...{ round: 1, phase: 'committed', method: 'm', asked: [], accepted: [], rejected: [], validation: null },
  ...{ bytesUp: 5, bytesDown: 6, startedAtMs: 1, milliseconds: 1 },
};

it('says what crossed the wire, by agent, and what is known of rounds of earlier releases', () => {
  const traffic = { 'site-1': { up: 857, down: 3_900 }, 'site-2': { up: 1_714, down: 3_900 } };
  expect(roundBytes({ ...ROUND, traffic }, 'up')).toBe(2_571);
  expect(trafficWords({ ...ROUND, traffic }, 'up')).toBe('site-2 1.7 kB, site-1 857 B');
  expect([roundBytes(ROUND, 'up'), roundBytes(ROUND, 'down'), trafficWords(ROUND, 'up')]).toEqual([5, 6, undefined]);
});

describe('wording', () => {
  it.each([
    [bytesWords(0), '0 B'],
    [bytesWords(999), '999 B'],
    [bytesWords(1_540), '1.5 kB'],
    [bytesWords(999_700), '1.0 MB'],
    [bytesWords(121e6), '121 MB'],
    [bytesWords(null), '—'],
    [countWords(12_040), '12 040'],
    [valueWords(3.21444), '3.21'],
    [valueWords(0.051), '0.051'],
    [valueWords(-118.22), '-118.2'],
    [valueWords(12_040.4), '12 040'],
    [valueWords(7), '7'],
    [tagValueWords(52, FLOW), '52.0'],
    [tagValueWords(50.4444, { ...FLOW, resolution: 0.01 }), '50.44'],
    [tagValueWords(-0.04, FLOW), '0.0'],
    [tagValueWords(1450.6, { ...FLOW, resolution: 5 }), '1451'],
    [tagValueWords(123_456, FLOW), '123 456'],
    [tagValueWords(1, { ...FLOW, kind: 'status' }), 'on'],
    [tagValueWords(7, undefined), '7'],
    [tagValueWords(null, FLOW), '—'],
    [valueWords(Number.NaN), '—'],
    [scoreWords(0.98765), '0.988'],
    [shareWords(0.376), '38 %'],
    [durationWords(1.84), '1.8 ms'],
    [durationWords(2_340), '2.3 s'],
    [durationWords(15 * 60_000), '15 min'],
    [durationWords(4.5 * 3_600_000), '4 h 30 min'],
    [durationWords(72 * 3_600_000), '3 d'],
    [durationWords(null), '—'],
    [silentWords({ tags: ['L1'], devices: ['PLC1', 'PLC2'] }), 'No good values of PLC1, PLC2: L1'],
    [silentWords({ tags: ['L1', 'L2'] }), 'No good values: 2 tags'],
    [silentWords({ tags: [] }), 'No good values'],
  ])('%s', (words, expected) => expect(words).toBe(expected));

  it('names the day of a span once where it is one day', () => {
    const at = (day: number, hour: number) => new Date(2026, 2, day, hour).getTime();
    expect(spanWords(at(7, 14), at(7, 16))).toBe('7 Mar 14:00 – 16:00');
    expect(spanWords(at(7, 14), at(8, 16))).toBe('7 Mar 14:00 – 8 Mar 16:00');
    expect(spanWords(null, at(8, 16))).toBe('— – 8 Mar 16:00');
    expect(
      timeAxisWords(
        [at(7, 12), at(7, 18), at(8, 0)].map((ms) => ms / 1_000),
        21_600,
      ),
    ).toEqual(['12:00\n7 Mar', '18:00', '00:00\n8 Mar']);
  });
});
