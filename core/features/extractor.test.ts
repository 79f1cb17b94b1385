import { describe, expect, test } from 'vitest';
import { createRandom } from '../learning/random.js';
import { FeatureExtractor } from './extractor.js';
import type { FeatureSchema, FeatureSpec } from './spec.js';

const HOUR_MS = 3_600_000;
const level = { name: 'L', unit: 'm', kind: 'analog', resolution: 0.01 } as const;
const flow = { name: 'F', unit: 'L/s', kind: 'analog', resolution: 0.1 } as const;

function schema(features: FeatureSpec[], holdRows = 2): FeatureSchema {
  return { tags: [level, flow], features, intervalMs: HOUR_MS, holdRows };
}

const row = (hour: number, l: number, f = 0) => ({ timeMs: hour * HOUR_MS, values: Float64Array.of(l, f) });

/** Pushes one level an hour from hour 0; null where nothing came out. */
function levels(extractor: FeatureExtractor, values: readonly number[], startHour = 0): (number[] | null)[] {
  return values.map((value, i) => {
    const features = extractor.push(row(startHour + i, value));
    return features && [...features];
  });
}

describe('FeatureExtractor', () => {
  test('computes every type in the order declared, and names each input and its tag', () => {
    const extractor = new FeatureExtractor(
      schema([
        { type: 'rollingStd', tag: 'L', rows: 3 },
        { type: 'raw', tag: 'F' },
        { type: 'hourOfDay', harmonics: 2 },
        { type: 'lag', tag: 'L', rows: 2 },
        { type: 'delta', tag: 'L', rows: 1 },
        { type: 'rollingMean', tag: 'L', rows: 3 },
      ]),
    );
    expect(extractor.names).toEqual([
      'rollingStd(L,3)',
      'F',
      ...['hourOfDay.sin1', 'hourOfDay.cos1', 'hourOfDay.sin2', 'hourOfDay.cos2'],
      'lag(L,2)',
      'delta(L,1)',
      'rollingMean(L,3)',
    ]);
    expect(extractor.inputTags).toEqual(['L', 'F', null, null, null, null, 'L', 'L', 'L']);
    expect(extractor.inputs).toBe(9);
    expect(extractor.push(row(4, 1, 10))).toBeNull();
    expect(extractor.push(row(5, 2, 20))).toBeNull();
    const features = [...extractor.push(row(6, 6, 30))!];
    const expected = [Math.sqrt(14 / 3), 30, 1, 0, 0, -1, 1, 4, 3];
    features.forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i]!, 6);
    });
  });

  test('a residual is the tag less what is expected of it, and its means are over the last rows', () => {
    const terms = [
      { tag: 'F', rowsAgo: 0, power: 1, weight: 0.5 },
      { tag: 'F', rowsAgo: 1, power: 2, weight: -0.25 },
    ] as const;
    const value = {
      type: 'residual',
      tag: 'L',
      of: 'value',
      terms,
      hours: [3, 7],
      offset: 10,
      windows: [1, 2],
    } as const;
    const extractor = new FeatureExtractor(
      schema([
        { type: 'raw', tag: 'L' },
        value,
        { ...value, of: 'change', terms: [{ tag: 'L', rowsAgo: 1, power: 1, weight: 2 }], hours: [], windows: [3] },
      ]),
    );
    expect(extractor.names).toEqual(['L', 'residual(L,1)', 'residual(L,2)', 'residual(delta(L,1),3)']);
    expect(extractor.inputTags).toEqual(['L', 'L', 'L', 'L']);
    // Hours 0, 6, 12, 18: sine 0, 1, 0, −1 and cosine 1, 0, −1, 0.
    const at = (hour: number, l: number, f: number) => {
      const features = extractor.push({ timeMs: hour * HOUR_MS, values: Float64Array.of(l, f) });
      return features && [...features].map((each) => Number(each.toFixed(5)));
    };
    const slow = schema([{ ...value, windows: [1] }]);
    const sixHourly = new FeatureExtractor({ ...slow, intervalMs: 6 * HOUR_MS });
    const residuals = [
      [20, 4],
      [30, 8],
      [40, 2],
      [50, 6],
    ].map(([l, f], i) => {
      const features = sixHourly.push({ timeMs: 6 * i * HOUR_MS, values: Float64Array.of(l!, f!) });
      return features && Number(features[0]!.toFixed(5));
    });
    expect(residuals).toEqual([null, 30 - 4 + 4 - 3 - 10, 40 - 1 + 16 + 7 - 10, 50 - 3 + 1 + 3 - 10]);
    expect(at(0, 20, 4)).toBeNull();
    expect(at(1, 30, 8)).toBeNull();
    expect(at(2, 40, 2)).toBeNull();
    const last = at(3, 55, 6)!;
    const [before, now] = [2, 3].map((hour) => {
      const day = (hour * Math.PI) / 12;
      const [l, f, previous] = hour === 2 ? [40, 2, 8] : [55, 6, 2];
      return l! - 0.5 * f! + 0.25 * previous! ** 2 - 3 * Math.sin(day) - 7 * Math.cos(day) - 10;
    });
    expect(last[1]).toBeCloseTo(now!, 4);
    expect(last[2]).toBeCloseTo((before! + now!) / 2, 4);
    // Changes 10, 10, 15 less 2 · (20, 30, 40) less 10.
    expect(last[3]).toBeCloseTo((-40 - 60 - 75) / 3, 4);
  });

  test('takes the hour from the UTC source time, before 1970 as well', () => {
    const extractor = new FeatureExtractor(schema([{ type: 'hourOfDay', harmonics: 1 }]));
    const at = (text: string) => [...extractor.push({ timeMs: Date.parse(text), values: Float64Array.of(1, 1) })!];
    for (const [text, sine] of [
      ['1969-12-31T18:00:00Z', -1],
      ['2026-03-29T06:00:00Z', 1],
    ] as const) {
      expect(at(text)[0]).toBeCloseTo(sine, 6);
      expect(at(text.replace('00Z', '01Z'))[1]).toBeCloseTo(0, 3);
    }
  });

  test('holds a tag that is not good for holdRows rows, then abstains and says which', () => {
    const extractor = new FeatureExtractor(schema([{ type: 'raw', tag: 'L' }]));
    expect(levels(extractor, [5, NaN, Infinity])).toEqual([[5], [5], [5]]);
    expect(extractor.abstaining).toEqual([]);
    expect(levels(extractor, [NaN], 3)).toEqual([null]);
    expect(extractor.abstaining).toEqual(['L']);
    expect(levels(extractor, [7, NaN], 4)).toEqual([[7], [7]]);
    expect(extractor.abstaining).toEqual([]);
  });

  test('a tag that was never good is not invented, and one that no feature needs is not missed', () => {
    const extractor = new FeatureExtractor(schema([{ type: 'raw', tag: 'F' }]));
    expect(extractor.push(row(0, NaN, NaN))).toBeNull();
    expect(extractor.abstaining).toEqual([]);
    expect([...extractor.push(row(1, NaN, 3))!]).toEqual([3]);
    for (let hour = 2; hour < 9; hour++) expect(extractor.push(row(hour, NaN, 3))).not.toBeNull();
    expect(extractor.abstaining).toEqual([]);
  });

  test('a residual misses every tag of its terms, and is without a mean while one is missing in its window', () => {
    const residual: FeatureSpec = {
      ...{ type: 'residual', tag: 'L', of: 'value', hours: [], offset: 0, windows: [2] },
      terms: [{ tag: 'F', rowsAgo: 1, power: 1, weight: 1 }],
    };
    const extractor = new FeatureExtractor(schema([residual], 0));
    const got = [1, 2, NaN, 4, 5, 6, 7].map((f, hour) => {
      const features = extractor.push(row(hour, 10, f));
      return [features?.[0] ?? null, extractor.abstaining.join()];
    });
    const missing = [null, ''];
    expect(got).toEqual([missing, missing, [null, 'F'], missing, missing, [5.5, ''], [4.5, '']]);
    const unknown = { ...residual, terms: [{ tag: 'X', rowsAgo: 1, power: 1, weight: 1 }] } as const;
    expect(() => new FeatureExtractor(schema([unknown]))).toThrow(/residual needs tag 'X'/);
  });

  test('after abstaining, waits until no feature looks back at a missing row', () => {
    const extractor = new FeatureExtractor(
      schema(
        [
          { type: 'lag', tag: 'L', rows: 2 },
          { type: 'rollingMean', tag: 'L', rows: 2 },
        ],
        0,
      ),
    );
    expect(levels(extractor, [1, 2, 3, NaN, 5, 6, 7])).toEqual([null, null, [1, 2.5], null, null, null, [5, 6.5]]);
  });

  test.each([
    ['a gap of more than 1.5 intervals', 4.6],
    ['a time that stands still', 3],
    ['a time that goes back', 1],
  ])('%s empties windows and held values', (_, hour) => {
    const extractor = new FeatureExtractor(schema([{ type: 'delta', tag: 'L', rows: 1 }]));
    expect(levels(extractor, [1, 2, 4, 7])).toEqual([null, [1], [2], [3]]);
    expect(extractor.push(row(hour, 9))).toBeNull();
    expect([...extractor.push(row(hour + 1.4, 11))!]).toEqual([2]);
    expect(extractor.push(row(hour + 10, NaN))).toBeNull();
  });

  test('refuses unknown tags and rows of another width', () => {
    expect(() => new FeatureExtractor(schema([{ type: 'raw', tag: 'X' }]))).toThrow(
      expect.objectContaining({ code: 'FEATURES_UNKNOWN_TAG' }),
    );
    const extractor = new FeatureExtractor(schema([{ type: 'raw', tag: 'L' }]));
    expect(() => extractor.push({ timeMs: 0, values: Float64Array.of(1) })).toThrow(
      expect.objectContaining({ code: 'FEATURES_ROW_SHAPE' }),
    );
  });

  test('rolling statistics do not drift: after 200,000 rows they are those of a fresh window', () => {
    const specs: FeatureSpec[] = [
      { type: 'rollingMean', tag: 'L', rows: 24 },
      { type: 'rollingStd', tag: 'L', rows: 24 },
    ];
    const extractor = new FeatureExtractor(schema(specs));
    const random = createRandom(1);
    const values = Array.from({ length: 200_000 }, (_, i) => (i % 1_000 === 0 ? 1e7 : 3 + 0.01 * random.normal()));
    for (let i = 0; i < values.length - 1; i++) extractor.push(row(i, values[i]!));
    const last = extractor.push(row(values.length - 1, values.at(-1)!))!;
    const window = values.slice(-24);
    const mean = window.reduce((sum, value) => sum + value, 0) / 24;
    const deviation = Math.sqrt(window.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 24);
    expect(last[0]).toBeCloseTo(mean, 6);
    expect(last[1]).toBeCloseTo(deviation, 6);
  });
});

describe('rule', () => {
  const pump = {
    type: 'rule' as const,
    state: 'F',
    on: { tag: 'L', below: 2 },
    off: { tag: 'L', above: 5 },
    windows: [1, 2],
  };
  const inputsOf = (levels: number[], states: number[], from = pump) => {
    const extractor = new FeatureExtractor(schema([from]));
    return levels.map((level, hour) => {
      const features = extractor.push(row(hour, level, states[hour]!));
      return features === null ? null : [...features].map((each) => Number(each.toFixed(4)));
    });
  };

  test('says how far the level was beyond a threshold in two rows that the pump did not follow', () => {
    // Two metres is the threshold: at 1.5 and then 1.2 the pump should have run since 1.5 at least.
    expect(inputsOf([3, 1.5, 1.2, 1.4], [0, 0, 0, 1])).toEqual([null, null, [0.5, 0, 0.25, 0], [0, 0, 0.25, 0]]);
    expect(inputsOf([5.5, 5.6, 6], [1, 1, 1]).at(-1)).toEqual([0.6, 0, 0.55, 0]);
  });

  test('says how far it was from the threshold when the pump switched all the same', () => {
    expect(inputsOf([4, 4, 3, 3], [0, 0, 1, 0])).toEqual([null, null, [0, 1, 0, 0.5], [0, 2, 0, 1.5]]);
  });

  test('is silent while the rule is obeyed, and for pumps that empty a tank likewise', () => {
    expect(inputsOf([3, 1.9, 2.4, 5.1, 4.8], [0, 1, 1, 0, 0]).slice(2)).toEqual([
      [0, 0, 0, 0],
      [0, 0, 0, 0],
      [0, 0, 0, 0],
    ]);
    const emptying = { ...pump, on: { tag: 'L', above: 5 }, off: { tag: 'L', below: 2 } };
    expect(inputsOf([5.5, 5.7, 5.6], [0, 0, 0], emptying as unknown as typeof pump).at(-1)).toEqual([0.6, 0, 0.55, 0]);
  });
});
