import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Moments, scaleRows, scalerFrom } from './moments.js';
import { expandFeatures } from './patterns.js';
import { schemaHash } from './schema.js';
import type { FeatureSchema } from './spec.js';

const damaged = expect.objectContaining({ code: 'FEATURES_MOMENTS' });

describe('Moments', () => {
  test('merged moments of any split are those of all rows together', () => {
    const rows = fc.array(fc.tuple(fc.double({ min: -1e4, max: 1e4, noNaN: true }), fc.integer({ min: 0, max: 1 })), {
      minLength: 1,
      maxLength: 60,
    });
    fc.assert(
      fc.property(fc.array(rows, { minLength: 1, maxLength: 5 }), (sites) => {
        const pooled = new Moments(2);
        pooled.add(sites.flat(2));
        const merged = Moments.merge(
          sites.map((site) => {
            const own = new Moments(2);
            for (const row of site) own.add(row);
            return own.toJSON();
          }),
        );
        const all = sites.flat();
        expect(merged.count).toBe(all.length);
        [0, 1].forEach((i) => {
          const mean = all.reduce((sum, row) => sum + row[i]!, 0) / all.length;
          const m2 = all.reduce((sum, row) => sum + (row[i]! - mean) ** 2, 0);
          for (const moments of [merged, pooled]) {
            expect(Math.abs(moments.mean[i]! - mean)).toBeLessThan(1e-8);
            expect(Math.abs(moments.m2[i]! - m2)).toBeLessThanOrEqual(1e-9 * (1 + m2));
          }
        });
      }),
      { seed: 2 },
    );
  });

  test('refuses nothing, other widths and numbers that no rows have', () => {
    expect(() => Moments.merge([])).toThrow(damaged);
    expect(() => Moments.merge([new Moments(2), new Moments(3)])).toThrow(damaged);
    for (const wrong of [
      { count: -1, mean: [0], m2: [0] },
      { count: 1, mean: [Number.NaN], m2: [0] },
      { count: 1, mean: [0], m2: [-1] },
      { count: 1, mean: [0], m2: [Number.POSITIVE_INFINITY] },
    ]) {
      expect(() => Moments.merge([wrong])).toThrow(damaged);
    }
    expect(() => new Moments(2).add([1, 2, 3])).toThrow(damaged);
  });
});

const tag = (name: string, resolution: number) => ({ name, unit: 'm', kind: 'analog' as const, resolution });
const tags = [tag('L_T1', 0.01), tag('L_T2', 0.01), tag('S_PU3', 1)];
const schema: FeatureSchema = {
  tags,
  features: [
    { type: 'raw', tag: 'L_T1' },
    { type: 'delta', tag: 'L_T2', rows: 1 },
    { type: 'raw', tag: 'S_PU3' },
    { type: 'hourOfDay', harmonics: 1 },
  ],
  intervalMs: 1,
  holdRows: 0,
};

describe('scaler', () => {
  const moments = { count: 4, mean: [2, 0, 0, 0.9, 0.1], m2: [16, 1e-12, 0, 0.5, 0.5] };
  const scaler = scalerFrom(moments, schema, { clip: 3 });

  test('a tag that never moved gets its resolution as scale; the hour of day is left as it is', () => {
    expect(scaler.mean).toEqual([2, 0, 0, 0, 0]);
    expect(scaler.scale).toEqual([2, Math.fround(0.01), 1, 1, 1]);
  });

  test('the mean of a residual over w rows has the resolution over √w as its least scale', () => {
    const residual = { type: 'residual', tag: 'L_T1', of: 'value', terms: [], hours: [], offset: 0 } as const;
    const features = [{ ...residual, windows: [1, 4, 16] }];
    const still = { count: 9, mean: [5, 5, 5], m2: [0, 0, 9] };
    const floored = scalerFrom(still, { ...schema, features }, { clip: 3 });
    expect(floored).toEqual({ mean: [5, 5, 5], scale: [Math.fround(0.01), Math.fround(0.005), 1], clip: 3 });
  });

  test('rows are centred, scaled and clipped, each by its own input', () => {
    const rows = Float32Array.of(4, 0.005, 1, 0.5, -0.5, -100, 1, 0, 1, 0);
    const scaled = scaleRows(rows, scaler, 5);
    expect(scaled[1]).toBeCloseTo(0.5, 6);
    scaled[1] = 0.5;
    expect([...scaled]).toEqual([1, 0.5, 1, 0.5, -0.5, -3, 3, 0, 1, 0]);
    expect(() => scaleRows(rows, scaler, 4)).toThrow(damaged);
  });

  test('moments of no rows or of another schema are refused', () => {
    expect(() => scalerFrom(new Moments(5), schema, { clip: 3 })).toThrow(damaged);
    expect(() => scalerFrom(new Moments(4), schema, { clip: 3 })).toThrow(damaged);
  });
});

describe('expandFeatures', () => {
  test('gives one feature per matching tag, in the order of patterns and tags, each once', () => {
    const expanded = expandFeatures(
      [
        { type: 'delta', tag: 'L_*', rows: 2 },
        { type: 'raw', tag: '*_T?' },
        { type: 'hourOfDay', harmonics: 1 },
        { type: 'raw', tag: '*' },
      ],
      tags,
    );
    expect(expanded).toEqual([
      { type: 'delta', tag: 'L_T1', rows: 2 },
      { type: 'delta', tag: 'L_T2', rows: 2 },
      { type: 'raw', tag: 'L_T1' },
      { type: 'raw', tag: 'L_T2' },
      { type: 'hourOfDay', harmonics: 1 },
      { type: 'raw', tag: 'S_PU3' },
    ]);
  });

  test('a residual gets every explaining tag at every row asked for, but not itself in the same row', () => {
    const pattern = { type: 'residual', of: 'change', harmonics: 1, windows: [1, 24] } as const;
    const [first, second] = expandFeatures(
      [{ ...pattern, tag: 'L_*', from: ['L_T1', 'S_*', '*1'], squares: ['L_T2'], rowsAgo: [0, 1] }],
      tags,
    );
    const term = (tag: string, rowsAgo: number, power: number) => ({ tag, power, rowsAgo });
    expect(first).toEqual({
      ...{ ...pattern, tag: 'L_T1' },
      candidates: [
        ...[term('L_T1', 1, 1), term('S_PU3', 0, 1), term('S_PU3', 1, 1)],
        ...[term('L_T2', 0, 2), term('L_T2', 1, 2)],
      ],
    });
    expect((second as typeof first & { candidates: unknown[] }).candidates).toEqual([
      ...[term('L_T1', 0, 1), term('L_T1', 1, 1), term('S_PU3', 0, 1), term('S_PU3', 1, 1), term('L_T2', 1, 2)],
    ]);
    const unknown = { ...pattern, tag: 'L_*', from: ['F_*'], squares: ['G'], rowsAgo: [0] };
    expect(() => expandFeatures([unknown], tags)).toThrow(/'F_\*', 'G', which no tag matches/);
  });

  test('takes the rules that are known of the plant, those that a pattern matches, or the one that is stated', () => {
    const rule = (state: string) => ({ state, on: { tag: 'L_T1', below: 1 }, off: { tag: 'L_T1', above: 3 } });
    const known = [rule('S_PU3'), rule('S_PU4')];
    const windows = [1, 6];
    const all = [...tags, { ...tags.at(-1)!, name: 'S_PU4' }];
    const expand = (state: string, rules = known) => expandFeatures([{ type: 'rule', state, windows }], all, rules);
    expect(expand('*')).toEqual(known.map((each) => ({ type: 'rule', ...each, windows })));
    expect(expand('S_PU4')).toEqual([{ type: 'rule', ...rule('S_PU4'), windows }]);
    const stated = { type: 'rule' as const, ...rule('S_PU3'), windows };
    expect(expandFeatures([stated], all)).toEqual([stated]);
    expect(() => expand('*', [])).toThrow(/no on-off rule for such a state; state the rule with on and off/);
    const wrong = { ...stated, on: { tag: 'L_T9', below: 1 } };
    expect(() => expandFeatures([wrong], all)).toThrow(/'L_T9', which no tag matches/);
  });

  test('names every pattern that no tag matches; a dot is a dot', () => {
    const patterns = ['L.T1', 'P_*', 'L_T1'].map((name) => ({ type: 'raw' as const, tag: name }));
    expect(() => expandFeatures(patterns, tags)).toThrow(/'L\.T1', 'P_\*', which no tag matches.*L_T1, L_T2, S_PU3/);
  });
});

test('the schema hash depends on values, not on the order of keys', () => {
  const reordered = JSON.parse(
    '{"holdRows":0,"intervalMs":1,"features":[{"tag":"L_T1","type":"raw"},{"rows":1,"tag":"L_T2","type":"delta"},{"tag":"S_PU3","type":"raw"},{"harmonics":1,"type":"hourOfDay"}]}',
  );
  expect(schemaHash({ ...reordered, tags })).toBe(schemaHash(schema));
  expect(schemaHash({ ...schema, holdRows: 1 })).not.toBe(schemaHash(schema));
  expect(schemaHash({ ...schema, features: schema.features.toReversed() })).not.toBe(schemaHash(schema));
  expect(schemaHash(schema)).toMatch(/^[0-9a-f]{64}$/);
});
