import type { RoundView } from '@twinwatch/core/wire/http';
import { expect, it } from 'vitest';
import { certificateMetrics, roundMetrics } from './metrics.js';

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

it('tells when certificates end: of each holder the first, and of a damaged file what any alarm takes for the past', () => {
  const values = certificateMetrics([
    { holder: 'authority', isAgent: false, notAfterMs: 9_000_500 },
    { holder: 'authority', isAgent: false, notAfterMs: 5_000 },
    { holder: 'authority', isAgent: true, notAfterMs: 7_000 },
    { holder: 'site-1', isAgent: true, notAfterMs: null },
  ]);
  expect(values.split('\n').filter((line) => line !== '' && !line.startsWith('#'))).toEqual([
    'twinwatch_certificate_not_after_seconds{holder="authority"} 5',
    'twinwatch_certificate_not_after_seconds{holder="agent authority"} 7',
    'twinwatch_certificate_not_after_seconds{holder="agent site-1"} 0',
  ]);
});
