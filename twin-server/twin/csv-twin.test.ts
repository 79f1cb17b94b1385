import { describe, expect, it } from 'vitest';
import { CsvTwin } from './csv-twin.js';

const HEADER = 'time,level,pump,attack,run';
const line = (minute: number, label: string, run = 1, level = `${minute / 10}`) =>
  `${new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString()},${level},${minute % 30 === 0 ? 1 : 0},${label},${run}`;
const open = (text: string, more = {}) =>
  CsvTwin.open({
    text,
    fileName: 'rows.csv',
    timeColumn: 'time',
    labelColumn: 'attack',
    episodeColumn: 'run',
    ...more,
  });
const request = { seed: 1, episodes: 10, hoursPerEpisode: 1, attackShare: 0.5 };

describe('a file of simulated rows', () => {
  it('becomes episodes, cut at gaps, at another run and at their length, attacked and normal ones mixed', async () => {
    const first = Array.from({ length: 8 }, (_, i) => line(i * 15, i === 5 ? '1' : '0'));
    const second = Array.from({ length: 3 }, (_, i) => line(i * 15, '0', 2));
    const afterGap = [line(180, '-999', 2), line(195, '0', 2)];
    const twin = open([HEADER, ...first, ...second, ...afterGap].join('\n'));
    expect([twin.intervalMs, twin.tags.map(({ name, kind }) => [name, kind])]).toEqual([
      900_000,
      [
        ['level', 'analog'],
        ['pump', 'status'],
      ],
    ]);
    const { episodes } = await twin.generate(request, () => {});
    expect(episodes.map(({ labels }) => labels.join(''))).toEqual(['0000', '0100', '000', '00']);
    expect(episodes[1]!.attackNames).toEqual([null, 'labelled', null, null]);
    // A row labelled neither 0 nor 1 is nobody's.
    expect(episodes[3]!.excluded.join('')).toBe('10');
    expect([...episodes[0]!.rows[1]!.values]).toEqual([1.5, 0]);
  });

  it('keeps a value that is not there as NaN, and takes columns under other names', () => {
    const twin = open(`${HEADER}\n${line(0, '0', 1, '')}\n${line(15, '0', 1, 'NaN')}`, {
      tags: [{ name: 'L_T1', unit: 'm', kind: 'analog', resolution: 0.01 }],
      columns: { L_T1: 'level' },
    });
    expect(twin.tags.map(({ name }) => name)).toEqual(['L_T1']);
  });

  it.each([
    ['time,level\n2026-01-01,1', /no column attack, run/],
    [`${HEADER}\n${line(0, '0')}`, /1 rows/],
    [
      `${HEADER}\n${line(0, '0', 1, 'high')}\n01.02.2026,1,0,0,1`,
      /line 2: 'high' in level[\s\S]*line 3: '01.02.2026' is no time/,
    ],
    [`${HEADER}\n${line(15, '0')}\n${line(0, '0')}`, /do not go forward/],
    [`${HEADER}\n1,2`, /not a CSV file/],
  ])('that is no such file is refused: %j', (text, words) => {
    expect(() => open(text)).toThrowError(words);
    expect(() => open(text)).toThrowError(expect.objectContaining({ code: 'TWIN_CSV_INVALID' }));
  });
});
