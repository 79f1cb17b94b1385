import type { Row } from '@twinwatch/core/scada/sample';
import type { Tag } from '@twinwatch/core/scada/tag';
import { describe, expect, it } from 'vitest';
import { compare } from './compare.js';
import type { FidelityData } from './fidelity-data.js';
import { fidelityPage } from './page.js';
import { correlations, sampleOf, tagStatistics } from './sample.js';
import { summaryTable } from './summary.js';

const HOUR_MS = 3_600_000;
const TAGS: Tag[] = [
  { name: 'LEVEL', unit: 'm', kind: 'analog', resolution: 0.01 },
  { name: 'FLOW', unit: 'L/s', kind: 'analog', resolution: 0.1 },
  { name: 'PUMP', unit: '', kind: 'status', resolution: 1 },
];

/** A pump that runs `on` of every 12 hours, its flow, and a level that follows; `lift` is added to the level. */
function rows(count: number, on: number, lift = 0): Row[] {
  return Array.from({ length: count }, (_, i) => {
    const pump = i % 12 < on ? 1 : 0;
    const level = 3 + lift + Math.sin((2 * Math.PI * i) / 12) + 0.05 * Math.sin(i * 12.9898);
    return { timeMs: i * HOUR_MS, sequence: i, values: Float64Array.of(level, pump * 20, pump) };
  });
}
const sample = (...stretches: Row[][]) => sampleOf(stretches, TAGS.length, HOUR_MS);
const reference = { sample: sample(rows(1_200, 6)), tags: TAGS, intervalMs: HOUR_MS, seed: 1 };

describe('a sample', () => {
  it('has rows that follow each other, with their change', () => {
    const [a, b] = [rows(5, 6), rows(4, 6)];
    b[2]!.values[0] = Number.NaN;
    const { count, changes, hours } = sample(
      a.filter((_, i) => i !== 2),
      b,
    );
    // 1 and 4 of the first stretch, 1 of the second.
    expect([count, [...hours]]).toEqual([3, [1, 4, 1]]);
    expect(changes[0]).toBeCloseTo(a[1]!.values[0]! - a[0]!.values[0]!, 12);
  });

  it('has statistics worked out by hand', () => {
    const pump = tagStatistics(sample(rows(25, 6)), 2, HOUR_MS);
    expect(pump.dutyCycle).toBeCloseTo(12 / 24, 12);
    expect(pump.startsPerDay).toBe(2);
    expect(pump.quantiles[0]).toBe(0);
    expect(pump.quantiles[20]).toBe(1);
    expect(pump.hourly.slice(4, 8)).toEqual([1, 1, 0, 0]);
    const matrix = correlations(sample(rows(600, 6)), TAGS);
    expect(matrix[1 * 3 + 2]).toBeCloseTo(1, 9);
    expect(correlations(sample(rows(60, 0)), TAGS)[1 * 3 + 2]).toBeNaN();
  });
});

describe('a comparison', () => {
  const [same, other] = [compare(reference, sample(rows(1_200, 6))), compare(reference, sample(rows(1_200, 9, 0.8)))];

  it('finds nothing between equal rows, and more the further they are apart', () => {
    expect(same.overall.dutyCycle).toBe(0);
    expect(same.overall.mean).toBe(0);
    expect(other.overall.dutyCycle).toBeCloseTo(0.25, 2);
    for (const key of ['mmd', 'mmdMultiKernel', 'swd'] as const) {
      expect(other.overall[key]).toBeGreaterThan(3 * same.overall[key]);
      for (const [t, tag] of other.tags.entries()) expect(tag[key]).toBeGreaterThan(2 * same.tags[t]![key]);
    }
  });

  it('is drawn on a page of its own, and summed up in a table', () => {
    const data: FidelityData = {
      ...{ plant: 'a <plant>', real: 'rows', command: 'npm run fidelity', seed: 1 },
      rows: { fittedTo: 1, compared: 1, twin: 1 },
      tags: TAGS.map(({ name, unit, kind }) => ({ name, unit, kind })),
      comparisons: [
        { name: 'real, other half', comparison: same },
        { name: 'twin as configured', comparison: other },
        { name: 'twin fitted', comparison: other },
      ],
      demands: [['season', 'none']],
    };
    const page = fidelityPage(data);
    expect(page).not.toMatch(/https?:|<script|NaN|undefined|a <plant>/);
    expect(page.match(/<svg/g)!.length).toBe(2 + 1 + 3 + 2 + 2);
    expect(summaryTable(data).split('\n')).toHaveLength(8);
  });
});
