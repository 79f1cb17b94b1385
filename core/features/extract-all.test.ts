import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { extractAll, FeatureExtractor, inputCount } from './extractor.js';
import type { FeatureSchema, FeatureSpec, RuleCondition } from './spec.js';

/** All features at once, and one by one, against their definitions. */

const HOUR_MS = 3_600_000;
const level = { name: 'L', unit: 'm', kind: 'analog', resolution: 0.01 } as const;
const flow = { name: 'F', unit: 'L/s', kind: 'analog', resolution: 0.1 } as const;

function schema(features: FeatureSpec[], holdRows = 2): FeatureSchema {
  return { tags: [level, flow], features, intervalMs: HOUR_MS, holdRows };
}

const row = (hour: number, l: number, f = 0) => ({ timeMs: hour * HOUR_MS, values: Float64Array.of(l, f) });

const condition = fc.oneof(
  fc.record({ tag: fc.constantFrom('L', 'F'), below: fc.double({ min: -10, max: 10, noNaN: true }) }),
  fc.record({ tag: fc.constantFrom('L', 'F'), above: fc.double({ min: -10, max: 10, noNaN: true }) }),
);
const spec = fc.oneof(
  fc.record({ type: fc.constant('raw' as const), tag: fc.constantFrom('L', 'F') }),
  fc.record({
    type: fc.constantFrom('delta' as const, 'lag' as const, 'rollingMean' as const, 'rollingStd' as const),
    tag: fc.constantFrom('L', 'F'),
    rows: fc.integer({ min: 1, max: 6 }),
  }),
  fc.record({ type: fc.constant('hourOfDay' as const), harmonics: fc.integer({ min: 1, max: 3 }) }),
  fc.record({
    type: fc.constant('residual' as const),
    tag: fc.constantFrom('L', 'F'),
    of: fc.constantFrom('value' as const, 'change' as const),
    terms: fc.array(
      fc.record({
        tag: fc.constantFrom('L', 'F'),
        rowsAgo: fc.integer({ min: 0, max: 3 }),
        power: fc.constantFrom(1 as const, 2 as const),
        weight: fc.double({ min: -1e-3, max: 1e-3, noNaN: true }),
      }),
      { maxLength: 3 },
    ),
    hours: fc.array(fc.double({ min: -5, max: 5, noNaN: true }), { maxLength: 4 }),
    offset: fc.double({ min: -5, max: 5, noNaN: true }),
    windows: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 3 }),
  }),
  fc.record({
    type: fc.constant('rule' as const),
    state: fc.constantFrom('L', 'F'),
    on: condition,
    off: condition,
    windows: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 3 }),
  }),
);
const value = fc.oneof(
  { weight: 5, arbitrary: fc.double({ min: -1e3, max: 1e3, noNaN: true }) },
  { weight: 1, arbitrary: fc.constant(Number.NaN) },
);
const steps = fc.array(
  fc.tuple(
    fc.oneof({ weight: 9, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.constantFrom(0, 2, 1.4) }),
    value,
    value,
  ),
  { maxLength: 60 },
);

describe('extractAll', () => {
  test('gives what row-by-row extraction gives, and what the definitions say over the rows themselves', () => {
    fc.assert(
      fc.property(
        fc.array(spec, { minLength: 1, maxLength: 5 }),
        steps,
        fc.integer({ min: 0, max: 2 }),
        (specs, drawn, hold) => {
          const declared = schema(specs, hold);
          let hour = 100;
          const rows = drawn.map(([step, l, f]) => {
            hour += step;
            return row(hour, l, f);
          });
          const all = extractAll(declared, rows);
          const live = new FeatureExtractor(declared);
          let at = 0;
          rows.forEach((each, index) => {
            const features = live.push(each);
            expect(features !== null).toBe(at < all.count && all.rowIndex[at] === index);
            if (features === null) return;
            const batch = all.features.subarray(at * live.inputs, (at + 1) * live.inputs);
            expect(batch).toEqual(features);
            expect(all.timesMs[at++]).toBe(each.timeMs);
            const defined = byDefinition(declared, rows.slice(0, index + 1));
            batch.forEach((got, i) => {
              expect(Math.abs(got - defined[i]!)).toBeLessThan(2e-4);
            });
          });
          expect(at).toBe(all.count);
          expect(all.features).toHaveLength(all.count * inputCount(declared));
        },
      ),
      { numRuns: 150, seed: 5 },
    );
  });

  test('grows beyond its first buffer', () => {
    const rows = Array.from({ length: 5_000 }, (_, hour) => row(hour, hour));
    const { features, count } = extractAll(schema([{ type: 'raw', tag: 'L' }]), rows);
    expect(count).toBe(5_000);
    expect(features[4_999]).toBe(4_999);
  });
});

/** Features of the last row, straight from the definitions: since the last gap, values held, statistics over slices. */
function byDefinition(declared: FeatureSchema, rows: ReturnType<typeof row>[]): number[] {
  let start = 0;
  for (let i = 1; i < rows.length; i++) {
    const elapsed = rows[i]!.timeMs - rows[i - 1]!.timeMs;
    if (elapsed <= 0 || elapsed > 1.5 * declared.intervalMs) start = i;
  }
  const held = declared.tags.map((_, tag) => {
    let last = Number.NaN;
    let bad = 0;
    return rows.slice(start).map(({ values }) => {
      bad = Number.isNaN(values[tag]) ? bad + 1 : 0;
      if (bad === 0) last = values[tag]!;
      else if (bad > declared.holdRows) last = Number.NaN;
      return last;
    });
  });
  return declared.features.flatMap((feature) => {
    if (feature.type === 'hourOfDay') {
      const day = (2 * Math.PI * rows.at(-1)!.timeMs) / (24 * HOUR_MS);
      return Array.from({ length: feature.harmonics }, (_, k) => [
        Math.sin((k + 1) * day),
        Math.cos((k + 1) * day),
      ]).flat();
    }
    const seriesOf = (tag: string) => held[tag === 'L' ? 0 : 1]!;
    if (feature.type === 'rule') {
      const beyond = ({ tag, below, above }: RuleCondition, ago: number): number => {
        const value = seriesOf(tag).at(-1 - ago) ?? Number.NaN;
        return below === undefined ? value - above! : below - value;
      };
      const isOn = (ago: number): boolean => (seriesOf(feature.state).at(-1 - ago) ?? Number.NaN) >= 0.5;
      const broken = (ago: number): [number, number] => {
        const [expected, taken] = isOn(ago) ? [feature.off, feature.on] : [feature.on, feature.off];
        const kept = Math.max(0, Math.min(beyond(expected, ago), beyond(expected, ago + 1)));
        if (isOn(ago) === isOn(ago + 1)) return [kept, 0];
        return [kept, Math.max(0, Math.min(-beyond(taken, ago), -beyond(taken, ago + 1)))];
      };
      return feature.windows.flatMap((window) =>
        [0, 1].map(
          (part) => Array.from({ length: window }, (_, ago) => broken(ago)[part]!).reduce((a, b) => a + b, 0) / window,
        ),
      );
    }
    const series = seriesOf(feature.tag);
    if (feature.type === 'residual') {
      const residual = (ago: number): number => {
        const past = (tag: string, back: number) => seriesOf(tag).at(-1 - ago - back) ?? Number.NaN;
        const day = (2 * Math.PI * rows.at(-1 - ago)!.timeMs) / (24 * HOUR_MS);
        const hours = feature.hours.map((weight, k) => {
          const angle = (1 + Math.floor(k / 2)) * day;
          return weight * (k % 2 === 0 ? Math.sin(angle) : Math.cos(angle));
        });
        const terms = feature.terms.map((term) => term.weight * past(term.tag, term.rowsAgo) ** term.power);
        const explained = [...terms, ...hours, feature.offset].reduce((sum, part) => sum + part, 0);
        return series.at(-1 - ago)! - (feature.of === 'change' ? past(feature.tag, 1) : 0) - explained;
      };
      return feature.windows.map((window) => {
        return Array.from({ length: window }, (_, ago) => residual(ago)).reduce((sum, each) => sum + each, 0) / window;
      });
    }
    if (feature.type === 'raw') return series.at(-1)!;
    if (feature.type === 'lag') return series.at(-1 - feature.rows)!;
    if (feature.type === 'delta') return series.at(-1)! - series.at(-1 - feature.rows)!;
    const window = series.slice(-feature.rows);
    const mean = window.reduce((sum, each) => sum + each, 0) / window.length;
    if (feature.type === 'rollingMean') return mean;
    return Math.sqrt(window.reduce((sum, each) => sum + (each - mean) ** 2, 0) / window.length);
  });
}
