/** Text of SVG elements, escaped, and the axes that the report's plots share. All pure. */

export interface Frame {
  /** Size of the drawing, in CSS pixels at its natural width. */
  readonly width: number;
  readonly height: number;
  /** Of the area inside the axes. */
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

export type Scale = (value: number) => number;

export function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** Two decimals at most: a tenth of a pixel is not seen. */
export function px(value: number): string {
  return String(Math.round(value * 10) / 10);
}

export function linear(fromLow: number, fromHigh: number, toLow: number, toHigh: number): Scale {
  const span = fromHigh - fromLow || 1;
  return (value) => toLow + ((value - fromLow) / span) * (toHigh - toLow);
}

/** Round values inside [low, high], about `count` of them. */
export function ticks(low: number, high: number, count: number): number[] {
  const raw = (high - low) / Math.max(1, count);
  if (!(raw > 0)) return [low];
  const magnitude = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * magnitude).find((each) => each >= raw * 0.999)!;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

/** `body` inside an <svg> that scales with the page; `title` is what a screen reader says. */
export function svg(frame: Frame, title: string, body: readonly string[]): string {
  return (
    `<svg viewBox="0 0 ${frame.width} ${frame.height}" role="img" aria-label="${escapeXml(title)}">` +
    `<title>${escapeXml(title)}</title>${body.join('')}</svg>`
  );
}

export function text(
  x: number,
  y: number,
  words: string,
  anchor: 'start' | 'middle' | 'end',
  className = 'axis',
): string {
  return `<text x="${px(x)}" y="${px(y)}" text-anchor="${anchor}" class="${className}">${escapeXml(words)}</text>`;
}

export function rect(x: number, y: number, width: number, height: number, className: string, title = ''): string {
  const inside = title === '' ? '' : `<title>${escapeXml(title)}</title>`;
  return `<rect x="${px(x)}" y="${px(y)}" width="${px(Math.max(0, width))}" height="${px(height)}" class="${className}">${inside}</rect>`;
}

export function line(x1: number, y1: number, x2: number, y2: number, className: string): string {
  return `<line x1="${px(x1)}" y1="${px(y1)}" x2="${px(x2)}" y2="${px(y2)}" class="${className}"/>`;
}

/** A polyline with gaps where y is null. */
export function path(points: Iterable<{ readonly x: number; readonly y: number | null }>, className: string): string {
  let d = '';
  let drawing = false;
  for (const { x, y } of points) {
    if (y !== null) d += `${drawing ? 'L' : 'M'}${px(x)} ${px(y)}`;
    drawing = y !== null;
  }
  return `<path d="${d}" class="${className}"/>`;
}

/** Grid lines and labels of a vertical axis on the left. */
export function yAxis(frame: Frame, scale: Scale, values: readonly number[], words: (value: number) => string): string {
  return values
    .map(
      (value) =>
        line(frame.left, scale(value), frame.right, scale(value), 'grid') +
        text(frame.left - 6, scale(value) + 4, words(value), 'end'),
    )
    .join('');
}

/** Grid lines and labels of a horizontal axis at the bottom. */
export function xAxis(frame: Frame, scale: Scale, values: readonly number[], words: (value: number) => string): string {
  return values
    .map(
      (value) =>
        line(scale(value), frame.top, scale(value), frame.bottom, 'grid') +
        text(scale(value), frame.bottom + 16, words(value), 'middle'),
    )
    .join('');
}
