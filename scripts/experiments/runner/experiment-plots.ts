import { type Frame, line, linear, path, px, rect, svg, text, ticks, xAxis, yAxis } from '../../report/svg.js';
import { spreadOf } from '../summary.js';

/** Plots of several seeds: data in, an <svg> element as text out. Colours are classes, defined by PLOT_STYLE. */

/** Colours that are told apart with most kinds of colour blindness (Okabe and Ito 2008), then the same dashed. */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#7f7f7f', '#8c6d31'];

export const PLOT_STYLE = `${COLOURS.map((colour, i) => `.c${i}{stroke:${colour};fill:none;stroke-width:1.8}.f${i}{fill:${colour}}`).join('')}.band{opacity:.16;stroke:none}.dash{stroke-dasharray:5 4}.whisker{stroke:currentColor;stroke-width:1.2}.target{stroke:#888;stroke-dasharray:2 3}`;

const colour = (index: number) => index % COLOURS.length;
const dashed = (index: number) => (index >= COLOURS.length ? ' dash' : '');

export interface Curve {
  readonly name: string;
  /** [seeds][rounds]. */
  readonly seeds: readonly (readonly number[])[];
}

const KEY_ROW = 17;

/** Mean over the seeds as a line, one standard deviation to both sides as a band. */
export function convergencePlot(title: string, curves: readonly Curve[], target: number | null): string {
  const rounds = Math.max(1, ...curves.flatMap(({ seeds }) => seeds.map((values) => values.length)));
  const stats = curves.map(({ seeds }) =>
    Array.from({ length: rounds }, (_, at) => spreadOf(seeds.map((values) => values[at] ?? null))),
  );
  const all = stats
    .flat()
    .flatMap(({ mean, deviation }) => (Number.isFinite(mean) ? [mean - deviation, mean + deviation] : []));
  const low = Math.max(0, Math.min(...all, target ?? 1));
  const high = Math.min(1, Math.max(...all, target ?? 0));
  const frame = framed(curves.length, 300);
  const x = linear(1, Math.max(2, rounds), frame.left, frame.right);
  const y = linear(low, high, frame.bottom, frame.top);
  const bands = stats.map((values, i) => {
    const edge = (side: 1 | -1) =>
      values.map(
        ({ mean, deviation }, at) =>
          `${px(x(at + 1))} ${px(y(Math.min(high, Math.max(low, mean + side * deviation))))}`,
      );
    return `<path d="M${[...edge(1), ...edge(-1).reverse()].join('L')}Z" class="f${colour(i)} band"/>`;
  });
  const lines = stats.map((values, i) =>
    path(
      values.map(({ mean }, at) => ({ x: x(at + 1), y: y(mean) })),
      `c${colour(i)}${dashed(i)}`,
    ),
  );
  return svg(frame, title, [
    heading(title),
    yAxis(frame, y, ticks(low, high, 6), short),
    xAxis(frame, x, ticks(1, rounds, 10), String),
    text((frame.left + frame.right) / 2, frame.bottom + 32, 'round', 'middle'),
    ...(target === null ? [] : [line(frame.left, y(target), frame.right, y(target), 'target')]),
    ...bands,
    ...lines,
    ...keys(
      frame,
      curves.map(({ name }) => name),
    ),
  ]);
}

export interface Bar {
  readonly name: string;
  /** [seeds]; null where a seed never got there. */
  readonly values: readonly (number | null)[];
}

/** One bar per method, up to its mean over the seeds that got there, with how many did. */
export function barPlot(title: string, bars: readonly Bar[], words: (value: number) => string): string {
  const stats = bars.map(({ values }) => spreadOf(values));
  const high = Math.max(1e-9, ...stats.map(({ mean, deviation, count }) => (count === 0 ? 0 : mean + deviation)));
  const row = 22;
  const frame: Frame = {
    width: 760,
    height: 60 + row * bars.length,
    left: 230,
    right: 640,
    top: 34,
    bottom: 34 + row * bars.length,
  };
  const x = linear(0, high, frame.left, frame.right);
  const drawn = bars.map(({ name, values }, i) => {
    const { mean, deviation, count } = stats[i]!;
    const top = frame.top + row * i;
    const label = text(frame.left - 8, top + 14, name, 'end');
    if (count === 0)
      return label + text(frame.left + 6, top + 14, `not reached (0 of ${values.length} seeds)`, 'start');
    const middle = top + 10;
    const whisker = line(x(Math.max(0, mean - deviation)), middle, x(mean + deviation), middle, 'whisker');
    const said = `${words(mean)}${count < values.length ? ` (${count} of ${values.length} seeds)` : ''}`;
    return (
      label +
      rect(frame.left, top + 3, x(mean) - frame.left, 14, `f${colour(i)}`) +
      whisker +
      text(x(mean + deviation) + 6, top + 14, said, 'start')
    );
  });
  return svg(frame, title, [heading(title), xAxis(frame, x, ticks(0, high, 5), words), ...drawn]);
}

export interface SweepLine {
  readonly name: string;
  readonly points: readonly { readonly at: number; readonly values: readonly (number | null)[] }[];
}

/** A measure against what was swept: means and one standard deviation over the seeds. `isLogarithmic` for parameters over decades. */
export function sweepPlot(title: string, swept: string, lines: readonly SweepLine[], isLogarithmic: boolean): string {
  const stats = lines.map(({ name, points }) => ({
    name,
    points: points.map(({ at, values }) => ({ at, ...spreadOf(values) })).sort((a, b) => a.at - b.at),
  }));
  const known = stats.flatMap(({ points }) => points).filter(({ count }) => count > 0);
  const scale = (value: number) => (isLogarithmic ? Math.log10(value) : value);
  const places = [...new Set(known.map(({ at }) => at))].sort((a, b) => a - b);
  const low = Math.min(...known.map(({ mean, deviation }) => mean - deviation));
  const high = Math.max(...known.map(({ mean, deviation }) => mean + deviation));
  const frame = framed(lines.length, 280);
  const x = linear(scale(places[0] ?? 0), scale(places.at(-1) ?? 1), frame.left + 8, frame.right - 8);
  const y = linear(low, high, frame.bottom, frame.top);
  const drawn = stats.map(({ points }, i) => {
    const there = points.filter(({ count }) => count > 0);
    const whiskers = there.map(({ at, mean, deviation }) =>
      line(x(scale(at)), y(mean - deviation), x(scale(at)), y(mean + deviation), `c${colour(i)}`),
    );
    const dots = there.map(
      ({ at, mean }) => `<circle cx="${px(x(scale(at)))}" cy="${px(y(mean))}" r="3" class="f${colour(i)}"/>`,
    );
    return (
      path(
        there.map(({ at, mean }) => ({ x: x(scale(at)), y: y(mean) })),
        `c${colour(i)}${dashed(i)}`,
      ) +
      whiskers.join('') +
      dots.join('')
    );
  });
  const marks = isLogarithmic || places.length <= 10 ? places : ticks(places[0]!, places.at(-1)!, 8);
  return svg(frame, title, [
    heading(title),
    yAxis(frame, y, ticks(low, high, 6), short),
    marks.map((at) => text(x(scale(at)), frame.bottom + 16, short(at), 'middle')).join(''),
    text((frame.left + frame.right) / 2, frame.bottom + 32, swept, 'middle'),
    ...drawn,
    ...keys(
      frame,
      lines.map(({ name }) => name),
    ),
  ]);
}

/** A drawing that needs no page around it. */
export function standalone(drawing: string): string {
  const style = `<style>text{font:12px system-ui,"DejaVu Sans",sans-serif;fill:#333}text.heading{font-weight:650}.grid{stroke:#ddd}${PLOT_STYLE}</style><rect width="100%" height="100%" fill="#fff"/>`;
  return `${drawing.replace('<svg ', '<svg xmlns="http://www.w3.org/2000/svg" ').replace('</title>', `</title>${style}`)}\n`;
}

const short = (value: number): string => String(Number(value.toPrecision(3)));

function framed(names: number, height: number): Frame {
  return {
    width: 900,
    height: Math.max(height, 50 + KEY_ROW * names),
    left: 52,
    right: 640,
    top: 34,
    bottom: height - 44,
  };
}

function heading(title: string): string {
  return text(12, 18, title, 'start', 'heading');
}

function keys(frame: Frame, names: readonly string[]): string[] {
  return names.map((name, i) => {
    const y = frame.top + 6 + KEY_ROW * i;
    return (
      line(frame.right + 14, y, frame.right + 36, y, `c${colour(i)}${dashed(i)}`) +
      text(frame.right + 42, y + 4, name, 'start')
    );
  });
}
