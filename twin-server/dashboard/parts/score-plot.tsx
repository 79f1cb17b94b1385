import type { Telemetry } from '@twinwatch/core/wire/telemetry';
import { useMemo, useRef } from 'react';
import type uPlot from 'uplot';
import type { Alarm } from '../alarm-list.js';
import { scoreWords, timeAxisWords } from '../wording.js';
import { axis, type Palette, Plot } from './plot.js';

interface ScorePlotProps {
  readonly site: string;
  readonly history: readonly Telemetry[];
  readonly alarms: readonly Alarm[];
  readonly threshold: number | null;
}

/** Score against threshold over plant time; what is above is in the alarm's colour, alarms are shaded. */
export function ScorePlot({ site, history, alarms, threshold }: ScorePlotProps) {
  const shown = useRef(alarms);
  shown.current = alarms;
  const data = useMemo<uPlot.AlignedData>(
    () => [
      history.map(({ atMs }) => atMs / 1_000),
      history.map(() => threshold),
      history.map(({ score }) => score),
      history.map(({ score }) => (threshold !== null && score !== null && score >= threshold ? score : null)),
    ],
    [history, threshold],
  );
  const last = history.at(-1)?.score;
  return (
    <figure className="score-plot">
      <figcaption>
        Score {scoreWords(last)}
        <span className="muted">
          {threshold === null ? ' (no detector yet)' : ` against the threshold ${scoreWords(threshold)}, dashed`}
        </span>
      </figcaption>
      <Plot
        kind={site}
        options={(palette) => options(palette, () => shown.current)}
        data={data}
        heightPx={124}
        label={`Score of ${site} over the last ${history.length} values, now ${scoreWords(last)}, threshold ${scoreWords(threshold)}`}
      />
    </figure>
  );
}

function options(palette: Palette, alarms: () => readonly Alarm[]): Omit<uPlot.Options, 'width' | 'height'> {
  return {
    padding: [6, 8, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: true }, y: { range: [0, 1.03] } },
    axes: [
      axis(palette, {
        size: 34,
        space: 60,
        values: (plot, splits, _, __, step) => (plot.data[0].length === 0 ? [] : timeAxisWords(splits, step)),
      }),
      axis(palette, { size: 34, splits: () => [0, 0.5, 1] }),
    ],
    series: [
      {},
      { stroke: palette.text, width: 1, dash: [5, 4], points: { show: false } },
      { stroke: palette.trace, width: 1.5, points: { show: false }, spanGaps: false },
      { stroke: palette.alarm, width: 2.5, points: { show: false }, spanGaps: false },
    ],
    hooks: {
      drawClear: [
        (plot) => {
          const { left, top, width, height } = plot.bbox;
          plot.ctx.fillStyle = palette.alarmArea;
          for (const { raisedAtMs, clearedAtMs, cause } of alarms()) {
            const from = plot.valToPos((raisedAtMs ?? cause.atMs) / 1_000, 'x', true);
            const to = clearedAtMs === null ? left + width : plot.valToPos(clearedAtMs / 1_000, 'x', true);
            const start = Math.max(left, from);
            const end = Math.min(left + width, to);
            if (end > start) plot.ctx.fillRect(start, top, end - start, height);
          }
        },
      ],
    },
  };
}
