import { expect, it } from 'vitest';
import { ReportByException, withChanges } from './report-by-exception.js';
import type { Telemetry } from './telemetry.js';

const at = (atMs: number, a: number | null, b: number, quality = 'good'): Telemetry => ({
  ...{ atMs, score: 0.5 },
  values: { a: { value: a, quality }, b: { value: b, quality: 'good' } },
});

it('tells what moved out of its deadband, drift and quality too, and everything now and then', () => {
  const report = new ReportByException(new Map([['a', 0.5]]));
  expect(report.next(at(0, 1, 1))).toEqual(at(0, 1, 1));
  const told = [at(1, 1.5, 1), at(2, 1.6, 1), at(3, 1.7, 2), at(4, null, 2, 'stale'), at(5, 1.7, 2)].map((latest) =>
    Object.keys(report.next(latest).values).join(),
  );
  expect(told).toEqual(['', 'a', 'b', 'a', 'a']);
  report.forget();
  expect(report.next(at(6, 1.7, 2))).toEqual(at(6, 1.7, 2));
  const partial = Array.from({ length: 31 }, (_, i) => report.next(at(7 + i, 1.7, 2)).isPartial === true);
  expect(partial.filter((is) => !is)).toHaveLength(1);
});

it('tells letters when they are others', () => {
  const saying = (text: string): Telemetry => ({
    ...at(0, 1, 1),
    values: { c: { value: null, quality: 'good', text } },
  });
  const report = new ReportByException(new Map());
  report.next(saying('AUTO'));
  expect(report.next(saying('AUTO')).values).toEqual({});
  expect(report.next(saying('MANUAL')).values).toEqual(saying('MANUAL').values);
});

it('is put together again', () => {
  const next = { ...at(9, 7, 1), values: { a: { value: 7, quality: 'good' } }, isPartial: true };
  expect(withChanges(at(0, 1, 1), next)).toEqual(at(9, 7, 1));
  expect(withChanges(undefined, next)).toEqual({ atMs: 9, score: 0.5, values: next.values });
});
