import type { RoundView } from '@twinwatch/core/wire/http';
import { expect, it } from 'vitest';
import { roundMetrics } from './metrics.js';

const round = (number: number, phase: RoundView['phase'], traffic?: RoundView['traffic']): RoundView => ({
  ...{ round: number, phase, method: 'fedavg', asked: [], accepted: [], rejected: [], validation: null },
  ...{ bytesUp: 1, bytesDown: 1, startedAtMs: 1, milliseconds: 1, ...(traffic === undefined ? {} : { traffic }) },
});

it('tells what each agent sent and got in the newest committed round', () => {
  const rounds = [
    round(1, 'committed', { 'site-1': { up: 1, down: 2 } }),
    round(2, 'committed', { 'site-1': { up: 857, down: 3_900 }, 'site-2': { up: 1_714, down: 3_900 } }),
    round(3, 'collecting', { 'site-1': { up: 5, down: 6 } }),
  ];
  const values = roundMetrics(rounds)
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  expect(values).toEqual([
    'twinwatch_round 2',
    'twinwatch_round_payload_bytes{agent="site-1",direction="up"} 857',
    'twinwatch_round_payload_bytes{agent="site-1",direction="down"} 3900',
    'twinwatch_round_payload_bytes{agent="site-2",direction="up"} 1714',
    'twinwatch_round_payload_bytes{agent="site-2",direction="down"} 3900',
  ]);
  expect(roundMetrics([round(1, 'committed')])).toContain('twinwatch_round 1\n');
  expect(roundMetrics([])).toContain('twinwatch_round 0\n');
});
