import { TwinwatchError } from '@twinwatch/core/errors';
import { SCORE_BINS } from '@twinwatch/core/training/local-round';
import { describe, expect, it } from 'vitest';
import { checkScores, checkUpdate } from './update-check.js';

const limits = {
  parameterCount: 3,
  maximumNorm: 10,
  maximumRows: 1_000,
  layerMask: null,
  normBound: null,
  rowsBound: null,
};
const counts = new Array<number>(SCORE_BINS).fill(0).with(5, 40);
const update = { rows: 200, loss: 0.3, layerMask: null, scores: { counts, rows: 40 } };
const fewBins = { ...update, scores: { counts: [40], rows: 40 } };
const delta = Float32Array.of(1, -2, 3);

describe('update check', () => {
  it('accepts what is in order', () => {
    expect(checkUpdate(update, delta, limits).verdict).toBe('accepted');
  });

  it('refuses layers that were not asked for, and the lack of those that were', () => {
    const upper = [false, true];
    expect(checkUpdate({ ...update, layerMask: upper }, delta, { ...limits, layerMask: upper }).verdict).toBe(
      'accepted',
    );
    const sent = checkUpdate({ ...update, layerMask: upper }, delta, limits);
    expect(sent).toEqual({
      norm: null,
      verdict: 'wrong-shape',
      detail: 'it holds the layers [false,true], and the round asks for null',
    });
    expect(checkUpdate(update, delta, { ...limits, layerMask: upper }).verdict).toBe('wrong-shape');
  });

  it.each([
    ['wrong-shape', update, Float32Array.of(1, 2)],
    ['wrong-shape', update, new TwinwatchError('WIRE_DELTA_SHAPE', 'too short')],
    ['not-finite', update, new TwinwatchError('WIRE_DELTA_NOT_FINITE', 'NaN')],
    ['malformed', update, new TwinwatchError('WIRE_INVALID', 'what')],
    ['not-finite', update, Float32Array.of(1, Number.NaN, 2)],
    ['not-finite', { ...update, loss: Number.NaN }, delta],
    ['too-large', update, Float32Array.of(6, 6, 6)],
    ['implausible-rows', { ...update, rows: 0 }, delta],
    ['implausible-rows', { ...update, rows: 1_001 }, delta],
    ['implausible-rows', { ...update, rows: 1.5 }, delta],
    ['malformed', { ...update, scores: { counts, rows: 41 } }, delta],
    ['wrong-shape', fewBins, delta],
  ] as const)('says %s', (verdict, candidate, change) => {
    const checked = checkUpdate(candidate, change, limits);
    expect(checked.verdict).toBe(verdict);
    expect(checked.detail).not.toBe('');
  });

  it('measures by what was accepted lately and by what the agent announced, where that is known', () => {
    const norm = Math.sqrt(14);
    expect(checkUpdate(update, delta, { ...limits, normBound: 3.75, rowsBound: 200 })).toMatchObject({
      verdict: 'accepted',
      norm: expect.closeTo(norm, 12),
    });
    expect(checkUpdate(update, delta, { ...limits, normBound: 3.74 })).toEqual({
      ...{ verdict: 'too-large', norm: null },
      detail: 'norm 3.742, at most 3.740 by the median of those accepted lately',
    });
    expect(checkUpdate(update, delta, { ...limits, rowsBound: 199 })).toEqual({
      ...{ verdict: 'implausible-rows', norm: null },
      detail: '200 rows, at most 199 by what the agent announced',
    });
  });

  it('checks an evaluation’s counts alone', () => {
    expect(checkScores(update).verdict).toBe('accepted');
    expect(checkScores({ scores: { counts: counts.with(0, -1).with(1, 1), rows: 40 } }).verdict).toBe('malformed');
  });
});
