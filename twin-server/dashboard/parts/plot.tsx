import { useEffect, useRef, useState } from 'react';
import uPlot from 'uplot';

/** The page's colours where a canvas needs them; the style sheet is their only source. */
export interface Palette {
  readonly text: string;
  readonly grid: string;
  readonly trace: string;
  readonly second: string;
  readonly faint: string;
  readonly alarm: string;
  readonly alarmArea: string;
}

interface PlotProps {
  /** Everything but the size. Called again when the colour scheme or `kind` changes, not for new data. */
  readonly options: (palette: Palette) => Omit<uPlot.Options, 'width' | 'height'>;
  readonly kind: string;
  readonly data: uPlot.AlignedData;
  readonly heightPx: number;
  /** What the plot shows, in a sentence, for those who do not see it. */
  readonly label: string;
}

/** A uPlot chart as wide as its place. */
export function Plot({ options, kind, data, heightPx, label }: PlotProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const newest = useRef({ options, data });
  newest.current = { options, data };
  const dark = useDarkScheme();

  // biome-ignore lint/correctness/useExhaustiveDependencies: `dark` and `kind` say when the options differ; new data goes through setData below
  useEffect(() => {
    const element = place.current!;
    const made = new uPlot(
      { ...newest.current.options(palette(element)), width: element.clientWidth, height: heightPx },
      newest.current.data,
      element,
    );
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: heightPx }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [dark, kind, heightPx]);

  useEffect(() => plot.current?.setData(data), [data]);

  return <div className="plot" ref={place} role="img" aria-label={label} style={{ minHeight: heightPx }} />;
}

/** Axis looks that every plot of the page shares. */
export function axis(colours: Palette, more: Partial<uPlot.Axis> = {}): uPlot.Axis {
  return {
    stroke: colours.text,
    font: '11px system-ui, sans-serif',
    grid: { stroke: colours.grid, width: 1 },
    ticks: { stroke: colours.grid, width: 1, size: 4 },
    gap: 3,
    ...more,
  };
}

function palette(element: HTMLElement): Palette {
  const style = getComputedStyle(element);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  return {
    text: colour('--muted'),
    grid: colour('--grid'),
    trace: colour('--trace'),
    second: colour('--trace-second'),
    faint: colour('--trace-faint'),
    alarm: colour('--alarm'),
    alarmArea: colour('--alarm-area'),
  };
}

function useDarkScheme(): boolean {
  const [dark, setDark] = useState(() => matchMedia('(prefers-color-scheme: dark)').matches);
  useEffect(() => {
    const query = matchMedia('(prefers-color-scheme: dark)');
    const follow = () => setDark(query.matches);
    query.addEventListener('change', follow);
    return () => query.removeEventListener('change', follow);
  }, []);
  return dark;
}
