import type { RoundView } from '@twinwatch/core/wire/http';
import { useMemo } from 'react';
import uPlot from 'uplot';
import { bytesWords, durationWords, MISSING, roundBytes, scoreWords, trafficWords } from '../wording.js';
import { Empty, WarningMark } from './marks.js';
import { axis, type Palette, Plot } from './plot.js';
import { ScrollRegion } from './scroll-region.js';

interface RoundsProps {
  /** Ascending. */
  readonly rounds: readonly RoundView[];
  readonly planned: number;
  /** In words, null before the server has spoken. */
  readonly waitingFor: string | null;
}

/** Where the logarithmic axis of bytes begins. */
const LEAST_BYTES = 1_000;
const PHASE_WORDS: Readonly<Record<RoundView['phase'], string>> = {
  'twin-fit': 'twin fits',
  collecting: 'collecting',
  aggregating: 'aggregating',
  committed: 'committed',
  failed: 'failed',
};

/** How learning goes: quality on the twin's validation episodes, bytes, and who took part. */
export function Rounds({ rounds, planned, waitingFor }: RoundsProps) {
  const data = useMemo<uPlot.AlignedData>(
    () => [
      rounds.map(({ round }) => round),
      rounds.map((round) => roundBytes(round, 'up') + roundBytes(round, 'down')),
      rounds.map(({ validation }) => validation?.prAuc ?? null),
      rounds.map(({ validation }) => validation?.rocAuc ?? null),
      rounds.map(({ validation }) => validation?.attackShare ?? null),
    ],
    [rounds],
  );
  const last = rounds.at(-1);
  const judged = rounds.findLast(({ validation }) => validation !== null)?.validation;
  return (
    <section className="panel rounds" aria-labelledby="rounds-title">
      <h2 id="rounds-title">
        Rounds <small>{last !== undefined && `${last.round} of ${planned}, ${last.method}`}</small>
      </h2>
      {last === undefined ? (
        <Empty title="No round yet.">
          {waitingFor === null
            ? 'Waiting for the twin-server.'
            : 'The first starts when the twin is simulated and enough sites have been calibrated.'}
        </Empty>
      ) : (
        <>
          <figure>
            <figcaption className="legend">
              <span className="key pr" title="On the twin’s validation episodes; the best round by it is released">
                PR AUC {scoreWords(judged?.prAuc)}
              </span>
              {judged?.attackShare !== undefined && (
                <span className="key guess" title="PR AUC of a detector that guesses: the share of attacked rows">
                  guessing {scoreWords(judged.attackShare)}
                </span>
              )}
              <span className="key roc" title="On the twin’s validation episodes; a detector that guesses has 0.5">
                ROC AUC {scoreWords(judged?.rocAuc)}
              </span>
              <span className="key bytes">bytes per round (log)</span>
            </figcaption>
            <Plot
              kind="rounds"
              options={options}
              data={data}
              heightPx={122}
              label={`Validation over ${rounds.length} rounds: PR AUC now ${scoreWords(judged?.prAuc)}, guessing ${scoreWords(judged?.attackShare)}, ROC AUC ${scoreWords(judged?.rocAuc)}. The table below has every round.`}
            />
          </figure>
          <ScrollRegion label="Table of rounds, newest first">
            <table>
              <thead>
                <tr>
                  <th scope="col" className="number">
                    Round
                  </th>
                  <th scope="col">Updates</th>
                  <th scope="col" className="number" title="PR AUC on the twin’s validation episodes">
                    PR AUC
                  </th>
                  <th scope="col" className="number" title="ROC AUC on the twin’s validation episodes">
                    ROC
                  </th>
                  <th scope="col" className="number">
                    Up
                  </th>
                  <th scope="col" className="number">
                    Down
                  </th>
                  <th scope="col" className="number wide">
                    Took
                  </th>
                </tr>
              </thead>
              <tbody>
                {rounds.toReversed().map((round) => (
                  <Round key={round.round} round={round} />
                ))}
              </tbody>
            </table>
          </ScrollRegion>
        </>
      )}
    </section>
  );
}

function Round({ round }: { readonly round: RoundView }) {
  return (
    <>
      <tr data-round={round.round}>
        <th scope="row" className="number">
          {round.round}
        </th>
        <td className={round.phase === 'failed' ? 'warn' : ''}>
          {round.accepted.length}/{round.asked.length}
          {round.phase !== 'committed' && <span className="muted"> {PHASE_WORDS[round.phase]}</span>}
        </td>
        <td className="number">{scoreWords(round.validation?.prAuc)}</td>
        <td className="number">{scoreWords(round.validation?.rocAuc)}</td>
        <td className="number" title={trafficWords(round, 'up')}>
          {bytesWords(roundBytes(round, 'up'))}
        </td>
        <td className="number" title={trafficWords(round, 'down')}>
          {bytesWords(roundBytes(round, 'down'))}
        </td>
        <td className="number wide">{round.milliseconds === null ? MISSING : durationWords(round.milliseconds)}</td>
      </tr>
      {round.rejected.map(({ agent, verdict, detail }, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: one agent may be rejected twice for the same reason, and the list only grows
        <tr key={`${agent} ${index}`} className="rejected">
          <td />
          <td colSpan={6}>
            <WarningMark /> {agent} rejected, {verdict.replaceAll('-', ' ')}
            {detail === '' ? '' : `: ${detail}`}
          </td>
        </tr>
      ))}
      {(round.leftOut ?? []).map(({ agent, detail }) => (
        <tr key={`${agent} left out`} className="rejected">
          <td />
          <td colSpan={6}>
            {agent} left out of the average: {detail}
          </td>
        </tr>
      ))}
      {(round.remarks ?? []).map((remark) => (
        <tr key={remark} className="rejected">
          <td />
          <td colSpan={6}>{remark}</td>
        </tr>
      ))}
    </>
  );
}

function options(palette: Palette): Omit<uPlot.Options, 'width' | 'height'> {
  return {
    padding: [6, 0, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { time: false, range: (_, low, high) => [low - 0.5, Math.max(high, low + 4) + 0.5] },
      // From the tenth below the lowest value to 1, so that a change near 1 can be seen.
      y: { range: (_, low) => [Math.min(0.9, Math.floor((low ?? 0) * 10) / 10), 1] },
      // The first round sends rows of the twin as well, a hundred times the others.
      bytes: {
        distr: 3,
        range: (_, __, high) => [LEAST_BYTES, Math.max(high || 1, LEAST_BYTES) ** 3 / LEAST_BYTES ** 2],
      },
    },
    axes: [
      axis(palette, { size: 26, space: 28, incrs: [1, 2, 5, 10, 20, 50, 100] }),
      axis(palette, { size: 34, space: 24 }),
      axis(palette, {
        scale: 'bytes',
        side: 1,
        size: 50,
        space: 30,
        grid: { show: false },
        splits: () => [LEAST_BYTES, 1e6],
        filter: (_, splits) => splits,
        values: (_, splits) => splits.map((bytes) => bytesWords(bytes)),
      }),
    ],
    series: [
      {},
      {
        scale: 'bytes',
        fill: palette.faint,
        width: 0,
        paths: uPlot.paths.bars!({ size: [0.6, 24] }),
        fillTo: () => LEAST_BYTES,
        points: { show: false },
      },
      { stroke: palette.trace, width: 2, points: { show: true, size: 4, fill: palette.trace } },
      { stroke: palette.second, width: 2, dash: [6, 3], points: { show: true, size: 4, fill: palette.second } },
      { stroke: palette.text, width: 1, dash: [2, 4], points: { show: false } },
    ],
  };
}
