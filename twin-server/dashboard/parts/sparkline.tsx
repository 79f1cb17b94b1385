interface SparklineProps {
  /** Oldest first; null where there was no good value. */
  readonly values: readonly (number | null)[];
  /** Values that the whole width has room for, at least as many as there are; the newest is at the right edge. */
  readonly slots: number;
  /** Smallest span of the vertical axis, in the values' unit, so that noise does not look like movement. */
  readonly leastSpan: number;
  readonly range?: readonly [number, number];
  /** A dashed line at this value. */
  readonly mark?: number | null;
  readonly className?: string;
}

const WIDTH = 100;
const HEIGHT = 24;

/** The last values as a line without axes. Decoration beside the number, so hidden from screen readers. */
export function Sparkline({ values, slots, leastSpan, range, mark, className }: SparklineProps) {
  const [low, high] = range ?? extent(values, leastSpan);
  const y = (value: number) => HEIGHT - 1.5 - ((value - low) / (high - low)) * (HEIGHT - 3);
  const x = (index: number) => ((slots - values.length + index) / Math.max(1, slots - 1)) * WIDTH;
  let path = '';
  let drawing = false;
  values.forEach((value, index) => {
    if (value !== null) path += `${drawing ? 'L' : 'M'}${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
    drawing = value !== null;
  });
  return (
    <svg
      className={`sparkline ${className ?? ''}`}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      {mark !== null && mark !== undefined && (
        <line className="limit" x1="0" x2={WIDTH} y1={y(mark).toFixed(1)} y2={y(mark).toFixed(1)} />
      )}
      {path !== '' && <path d={path} />}
    </svg>
  );
}

function extent(values: readonly (number | null)[], leastSpan: number): [number, number] {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (value === null) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) return [0, 1];
  const missing = Math.max(0, (leastSpan || 1e-9) - (high - low)) / 2;
  return [low - missing, high + missing];
}
