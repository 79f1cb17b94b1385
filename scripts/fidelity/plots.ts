import { type Frame, line, linear, path, rect, svg, text, ticks, xAxis, yAxis } from '../report/svg.js';
import type { FidelityData } from './fidelity-data.js';

/** The report's plots: data in, an <svg> element as text out. The real rows are drawn as area or bar, the twin as lines: dashed as configured, solid once fitted. */

const CLASSES = ['real', 'trace thin second', 'trace thin'] as const;

/** Per tag, how many times the distance of real against real the twin's is. */
export function ratioPlot({ tags, comparisons }: FidelityData, key: 'mmd' | 'swd'): string {
  const [real, ...twins] = comparisons;
  const rowHeight = 17;
  const frame: Frame = {
    width: 820,
    height: tags.length * rowHeight + 40,
    left: 70,
    right: 760,
    top: 6,
    bottom: tags.length * rowHeight + 6,
  };
  const ratios = twins.map(({ comparison }) =>
    comparison.tags.map((tag, t) => ratioOf(tag[key], real!.comparison.tags[t]![key])),
  );
  const most = Math.min(40, Math.max(2, ...ratios.flat()));
  const x = linear(0, most, frame.left, frame.right);
  return svg(frame, `${key} per tag relative to real against real`, [
    xAxis(frame, x, ticks(0, most, 8), String),
    line(x(1), frame.top, x(1), frame.bottom, 'threshold'),
    ...tags.map(({ name }, t) => {
      const y = frame.top + t * rowHeight;
      return (
        text(frame.left - 6, y + 12, name, 'end') +
        ratios
          .map((each, twin) => {
            const height = (rowHeight - 4) / ratios.length;
            const width = x(Math.min(most, each[t]!)) - frame.left;
            return rect(
              frame.left,
              y + 1 + twin * height,
              width,
              height,
              twin === ratios.length - 1 ? 'ours' : 'baseline',
              `${name}, ${twins[twin]!.name}: ${each[t]!.toFixed(1)} times`,
            );
          })
          .join('')
      );
    }),
    text((frame.left + frame.right) / 2, frame.height - 2, 'times real against real', 'middle'),
  ]);
}

/** Where both are as good as nothing, the twin is as near as the real rows are. */
function ratioOf(twin: number, real: number): number {
  const floor = 0.02;
  return Math.max(twin, floor) / Math.max(real, floor);
}

/** One tag's mean by hour of the day. */
export function hourlyPlot(data: FidelityData, tag: number): string {
  const frame: Frame = { width: 260, height: 150, left: 40, right: 254, top: 18, bottom: 128 };
  const series = data.comparisons.map(({ comparison }) => comparison.tags[tag]!.hourly);
  const known = series.flat().filter((value) => value !== null);
  const [low, high] = widened(Math.min(...known), Math.max(...known));
  const x = linear(0, 23, frame.left, frame.right);
  const y = linear(low, high, frame.bottom, frame.top);
  return svg(frame, `${data.tags[tag]!.name} by hour of the day`, [
    text(frame.left, 12, titleOf(data, tag), 'start', 'heading'),
    yAxis(frame, y, ticks(low, high, 3), short),
    xAxis(frame, x, [0, 6, 12, 18], (hour) => `${hour} h`),
    ...series.map((hours, i) =>
      path(
        hours.map((value, hour) => ({ x: x(hour), y: value === null ? null : y(value) })),
        CLASSES[i]!,
      ),
    ),
  ]);
}

/** One tag's quantiles: its distribution turned on its side. */
export function quantilePlot(data: FidelityData, tag: number): string {
  const frame: Frame = { width: 260, height: 150, left: 40, right: 254, top: 18, bottom: 128 };
  const series = data.comparisons.map(({ comparison }) => comparison.tags[tag]!.quantiles);
  const [low, high] = widened(Math.min(...series.flat()), Math.max(...series.flat()));
  const x = linear(0, 20, frame.left, frame.right);
  const y = linear(low, high, frame.bottom, frame.top);
  return svg(frame, `${data.tags[tag]!.name}, quantiles`, [
    text(frame.left, 12, titleOf(data, tag), 'start', 'heading'),
    yAxis(frame, y, ticks(low, high, 3), short),
    xAxis(frame, x, [0, 10, 20], (q) => `${q * 5} %`),
    ...series.map((quantiles, i) =>
      path(
        quantiles.map((value, q) => ({ x: x(q), y: y(value) })),
        CLASSES[i]!,
      ),
    ),
  ]);
}

/** Duty cycles of everything that is switched. */
export function dutyPlot(data: FidelityData): string {
  const statuses = data.tags.flatMap(({ kind }, t) => (kind === 'status' ? [t] : []));
  const rowHeight = 22;
  const frame: Frame = {
    width: 820,
    height: statuses.length * rowHeight + 40,
    left: 70,
    right: 600,
    top: 6,
    bottom: statuses.length * rowHeight + 6,
  };
  const x = linear(0, 1, frame.left, frame.right);
  return svg(frame, 'Share of the time that pumps and valves are on', [
    xAxis(frame, x, [0, 0.25, 0.5, 0.75, 1], String),
    ...statuses.map((t, row) => {
      const y = frame.top + row * rowHeight;
      const values = data.comparisons.map(({ comparison }) => comparison.tags[t]!);
      return (
        text(frame.left - 6, y + 14, data.tags[t]!.name, 'end') +
        values
          .map(({ dutyCycle }, i) =>
            rect(
              frame.left,
              y + 2 + i * 6,
              x(dutyCycle) - frame.left,
              5,
              i === 0 ? 'down' : i === 1 ? 'baseline' : 'ours',
              `${data.comparisons[i]!.name}: ${dutyCycle.toFixed(3)}`,
            ),
          )
          .join('') +
        text(
          frame.right + 10,
          y + 14,
          `starts a day ${values.map(({ startsPerDay }) => startsPerDay.toFixed(1)).join(' / ')}`,
          'start',
        )
      );
    }),
  ]);
}

/** Differences of correlations between a twin and the real rows, one square for each pair of tags. */
export function correlationPlot(data: FidelityData, which: number): string {
  const { tags, comparisons } = data;
  const size = Math.max(5, Math.min(12, 400 / tags.length));
  const side = size * tags.length;
  const frame: Frame = { width: 60 + side, height: side + 30, left: 56, right: 56 + side, top: 20, bottom: 20 + side };
  const real = comparisons[0]!.comparison.correlations;
  const found = comparisons[which]!.comparison.correlations;
  const squares = [...real.keys()].map((i) => {
    const [row, column] = [Math.floor(i / tags.length), i % tags.length];
    const difference = Math.abs(real[i]! - found[i]!);
    const level = Number.isFinite(difference) ? Math.min(4, Math.floor(difference / 0.1)) : 0;
    if (level === 0) return '';
    return rect(
      frame.left + column * size,
      frame.top + row * size,
      size - 0.5,
      size - 0.5,
      `heat${level}`,
      `${tags[row]!.name}, ${tags[column]!.name}: ${real[i]!.toFixed(2)} and ${found[i]!.toFixed(2)}`,
    );
  });
  return svg(frame, `Differences of correlations, ${comparisons[which]!.name}`, [
    text(frame.left, 13, comparisons[which]!.name, 'start', 'heading'),
    rect(frame.left, frame.top, side, side, 'strip'),
    ...squares,
    ...(size < 9 ? [] : tags.map(({ name }, t) => text(frame.left - 4, frame.top + (t + 0.8) * size, name, 'end'))),
  ]);
}

const titleOf = ({ tags }: FidelityData, tag: number) =>
  `${tags[tag]!.name}${tags[tag]!.unit === '' ? '' : `, ${tags[tag]!.unit}`}`;
const short = (value: number) => String(Number(value.toPrecision(4)));

function widened(low: number, high: number): [number, number] {
  const margin = Math.max(1e-6, 0.05 * (high - low), 1e-3 * Math.abs(high));
  return [low - margin, high + margin];
}
