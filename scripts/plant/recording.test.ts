import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readRecording } from './recording.js';

const folder = mkdtempSync(join(tmpdir(), 'recording-'));
const HOUR = 3_600_000;
const options = { dateOrder: 'auto', columns: {}, delimiter: ',' } as const;

function read(text: string, tags = ['L_T1', 'S_PU1'], more: object = {}) {
  const file = join(folder, 'feed.csv');
  writeFileSync(file, text);
  return readRecording(file, tags, { ...options, ...more });
}

it('reads rows, labels and times, and says what is missing in them', async () => {
  const text =
    'DATETIME,S_PU1, L_T1,ATT_FLAG\n06/01/14 00,1,0.5,0\n06/01/14 01,0,nan,-999\n13/01/14 02,1,0.75,1\n13/01/14 03,1,2,0\n';
  const { rows, labels, intervalMs, warnings } = await read(text);
  expect(rows.map(({ timeMs }) => new Date(timeMs).toISOString())).toEqual([
    '2014-01-06T00:00:00.000Z',
    '2014-01-06T01:00:00.000Z',
    '2014-01-13T02:00:00.000Z',
    '2014-01-13T03:00:00.000Z',
  ]);
  expect(rows.map(({ values }) => [...values])).toEqual([
    [0.5, 1],
    [Number.NaN, 0],
    [0.75, 1],
    [2, 1],
  ]);
  expect(labels).toEqual([0, null, 1, 0]);
  expect(intervalMs).toBe(HOUR);
  expect(warnings.join('; ')).toMatch(
    /1 values are not numbers.*1 rows are labelled neither.*1 times rows are missing/,
  );
});

it('takes columns of other names, and a file without labels', async () => {
  const { rows, labels } = await read('t;Tank 1\n2024-01-01T00:00;1\n2024-01-01T01:00;2\n', ['L_T1'], {
    timeColumn: 't',
    delimiter: ';',
    columns: { L_T1: 'Tank 1' },
  });
  expect(rows).toHaveLength(2);
  expect(labels).toBeNull();
});

it.each([
  ['DATETIME,L_T1\n2024-01-01,1\n', /no column for S_PU1; .*DATETIME, L_T1/],
  ['when,L_T1,S_PU1\n2024-01-01,1,0\n', /no column of times/],
  ['time,L_T1,S_PU1\n2024-01-01,1,0\nyesterday,1,0\n', /line.* 3 \(yesterday\)/],
  ['time,L_T1,S_PU1\n2024-01-02,1,0\n2024-01-01,1,0\n', /do not rise, on lines 3/],
  ['time,L_T1,S_PU1\n13/01/2024,1,0\n01/14/2024,1,0\n', /dates with the month first/],
  ['time,L_T1,S_PU1\n', /is empty/],
])('refuses %j', async (text, message) => {
  await expect(read(text)).rejects.toThrow(message);
});
