import { describe, expect, it } from 'vitest';
import { escapeXml, linear, ticks } from '../report/svg.js';
import { curvesOf, thinned } from './curves.js';
import { comparisonPlot, curvePlot, delayPlot, roundsPlot, scorePlot } from './plots.js';
import { syntheticTrial } from './synthetic-trial.js';

describe('curves', () => {
  it('makes the ROC and PR points of a small example, ties together, rows without score or label left out', () => {
    const curves = curvesOf([0.9, 0.8, 0.8, 0.3, null, 0.1, 0.7], [true, true, false, false, true, false, null]);
    expect(curves).toEqual({
      roc: [
        { x: 0, y: 0 },
        { x: 0, y: 0.5 },
        { x: 1 / 3, y: 1 },
        { x: 2 / 3, y: 1 },
        { x: 1, y: 1 },
      ],
      pr: [
        { x: 0, y: 1 },
        { x: 0.5, y: 1 },
        { x: 1, y: 2 / 3 },
        { x: 1, y: 0.5 },
        { x: 1, y: 0.4 },
      ],
      prevalence: 0.4,
    });
    expect(curvesOf([0.1, 0.2], [false, false])).toBeNull();
  });

  it('thins a long series without losing a peak, a dip or a gap', () => {
    const x = Array.from({ length: 100_000 }, (_, index) => index);
    const y = x.map((at): number | null => (at === 54_321 ? 1 : at === 77_777 ? -1 : at === 12_345 ? null : 0.5));
    const points = thinned(x, y, 1_000);
    expect(points.length).toBeLessThan(2_100);
    expect(points).toContainEqual({ x: 54_321, y: 1 });
    expect(points).toContainEqual({ x: 77_777, y: -1 });
    expect(points).toContainEqual({ x: 12_345, y: null });
    expect(points.every((point, index) => index === 0 || point.x > points[index - 1]!.x)).toBe(true);
    expect(thinned([1, 2], [0.1, null], 1_000)).toEqual([
      { x: 1, y: 0.1 },
      { x: 2, y: null },
    ]);
  });
});

describe('svg', () => {
  it('escapes, scales and chooses round marks', () => {
    expect(escapeXml(`<a b="c">&'`)).toBe('&#60;a b=&#34;c&#34;&#62;&#38;&#39;');
    expect(linear(0, 10, 100, 0)(2.5)).toBe(75);
    expect(linear(3, 3, 0, 1)(3)).toBe(0);
    expect(ticks(0, 1, 4)).toEqual([0, 0.5, 1]);
    expect(ticks(0.6, 1, 4)).toEqual([0.6, 0.7, 0.8, 0.9, 1]);
    expect(ticks(0, 97, 6)).toEqual([0, 20, 40, 60, 80]);
    expect(ticks(5, 5, 3)).toEqual([5]);
  });
});

describe('plots', () => {
  const trial = syntheticTrial();
  const count = (markup: string, part: string) => markup.split(part).length - 1;

  it('shades every attack where it was and marks every alarm', () => {
    const plot = scorePlot(trial.series, trial.attacks, trial.run.intervalMs);
    expect(count(plot, 'class="attack"')).toBe(3);
    expect(count(plot, 'class="alarm"')).toBe(3);
    // A1 is rows 200 to 260 of 1,200, between x = 44 and 1092.
    const [, x, width] = plot.match(/<rect x="([\d.]+)" y="22" width="([\d.]+)"/)!;
    expect(Number(x)).toBeCloseTo(44 + (200 / 1_200) * 1_048, 0);
    expect(Number(width)).toBeCloseTo((61 / 1_200) * 1_048, 0);
    expect(plot).toContain('<title>A2, 2026-01-26 16:00 to 2026-01-27 17:00</title>');
  });

  it('starts the score after the warm-up and draws it inside its frame', () => {
    const d = scorePlot(trial.series, [], trial.run.intervalMs).match(/<path d="([^"]+)"/)![1]!;
    const points = d
      .split(/[ML]/)
      .slice(1)
      .map((point) => point.split(' ').map(Number));
    expect(count(d, 'M')).toBe(1);
    expect(points.every(([x, y]) => x! >= 44 && x! <= 1_092 && y! >= 22 && y! <= 204)).toBe(true);
  });

  it('leaves a gap for a round without validation, and has nothing to draw of no round or attack', () => {
    const plot = roundsPlot(trial.rounds)!;
    expect(count(plot.match(/<path d="([^"]+)" class="trace"/)![1]!, 'M')).toBe(2);
    expect(count(plot, 'class="up"')).toBe(20);
    expect([roundsPlot([]), delayPlot([])]).toEqual([null, null]);
  });

  it('says of every attack how long it took, or that it was missed', () => {
    const plot = delayPlot(trial.attacks)!;
    expect(plot).toContain('4 h of 61 h');
    expect(plot).toContain('missed, 26 h');
    expect(count(plot, 'class="missed"')).toBe(1);
  });

  it('compares with every baseline on every measure', () => {
    const plot = comparisonPlot(trial.scores!, trial.baselines);
    expect([count(plot, 'class="ours"'), count(plot, 'class="baseline"')]).toEqual([4, 12]);
  });

  it('draws a curve from corner to corner', () => {
    const plot = curvePlot(
      'ROC',
      { x: 'x', y: 'y' },
      [
        { x: 0, y: 0 },
        { x: 0, y: 1 },
        { x: 1, y: 1 },
      ],
      [0, 1],
    );
    expect(plot).toContain('d="M50 290L50 12L390 12"');
  });
});
