import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AgentConfig, agentSchema } from '@twinwatch/core/config/agent';
import type { Logger } from '@twinwatch/core/runtime';
import { orderEvidence, parseTime } from '@twinwatch/core/scada/dates';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Store } from '../store/store.js';
import { systemTimers } from '../system-runtime.js';
import { describeImport, importHistory } from './csv-history.js';

const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const HOUR = 3_600_000;
let directory: string;
let store: Store;
function load(text: string, tags: readonly string[] = ['L', 'F'], settings: Partial<AgentConfig['import']> = {}) {
  const file = join(directory, 'history.csv');
  writeFileSync(file, text);
  const { import: defaults } = agentSchema.parse({
    federation: 'f',
    agent: 'a',
    broker: { url: 'mqtt://localhost' },
    dataDir: 'd',
    interval: '1h',
  });
  return importHistory(store, file, tags, { ...defaults, ...settings }, HOUR);
}

describe('parseTime', () => {
  it.each([
    ['06/01/14 00', 'dmy', '2014-01-06T00:00:00.000Z'],
    ['01/06/2014 13:05', 'mdy', '2014-01-06T13:05:00.000Z'],
    ['2014-01-06 13:05:07', 'dmy', '2014-01-06T13:05:07.000Z'],
    ['2014-01-06T13:05:07.25+01:00', 'dmy', '2014-01-06T12:05:07.250Z'],
    ['6.1.2014', 'dmy', '2014-01-06T00:00:00.000Z'],
    ['1388966400', 'dmy', '2014-01-06T00:00:00.000Z'],
    ['1388966400000', 'dmy', '2014-01-06T00:00:00.000Z'],
  ] as const)('reads %s (%s)', (text, order, iso) => {
    expect(new Date(parseTime(text, order)!).toISOString()).toBe(iso);
  });

  it.each(['31/02/14 00', '13/13/14', '01/01/14 25', 'yesterday', '', 'NaN'])('reads no time from "%s"', (text) => {
    expect(parseTime(text, 'dmy')).toBeNull();
  });

  it('tells what a text says about the order', () => {
    expect(['13/01/14', '01/13/14', '01/02/14', '2014-01-02', '5'].map(orderEvidence)).toEqual([
      'dmy',
      'mdy',
      'ambiguous',
      'ymd',
      null,
    ]);
  });
});

describe('importHistory', () => {
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'twinwatch-import-'));
    const limits = { maximumRows: 1e5, maximumBytes: 1e8, maximumOutboxEvents: 100, maximumBlobBytes: 1e6 };
    store = await Store.open({ directory, ...limits }, { timers: systemTimers, log: quiet, maximumQueuedRows: 100 });
  });
  afterEach(async () => {
    await store.close();
    rmSync(directory, { recursive: true });
  });

  it('imports like BATADAL: padded names, −999 labels, missing and unused columns, values that are none', async () => {
    const text = `DATETIME, L, X, ATT_FLAG
06/01/14 00, 1.5, 9, 0
06/01/14 01, NaN, 9, -999
06/01/14 02, , 9, 1
06/01/14 02, 7, 9, 0
soon, 1, 1, 0
`;
    const report = await load(text);
    expect(report).toMatchObject({
      rows: 5,
      added: 3,
      known: 1,
      withoutTime: 1,
      badValues: 2,
      unknownLabels: 1,
      anomalousRows: 1,
      missingTags: ['F'],
      ignoredColumns: ['X'],
      warnings: [expect.stringContaining('was read day first, as 2014-01-06')],
    });
    const rows = await store.call('rows', ['L', 'F'], 9);
    expect([...rows.timesMs].map((ms) => new Date(ms).getUTCHours())).toEqual([0, 1, 2]);
    expect([...rows.values]).toEqual([1.5, Number.NaN, Number.NaN, Number.NaN, Number.NaN, Number.NaN]);
    expect([...rows.labels]).toEqual([0, 2, 1]);
    expect([...rows.imported]).toEqual([1, 1, 1]);
    expect(await load(text)).toMatchObject({ added: 0, known: 4 });
    expect(describeImport(report)).toContain('1 rows are labelled neither 0 nor 1; they are never learned from');
  });

  it('takes every column as a tag where there are no devices, and the names it is told', async () => {
    await load('when;L;F\n2014-01-06 00:00;1;2\n2014-01-06 01:00;3;4\n', [], { timeColumn: 'when', delimiter: ';' });
    expect(await store.call('lastTags')).toEqual(['L', 'F']);
    await load('time,Level\n2014-01-06 05:00,8\n', ['L'], { columns: { L: 'Level' } });
    expect([...(await store.call('rows', ['L'], 9)).values]).toEqual([1, 3, 8]);
    expect([...(await store.call('rows', [], 9)).labels]).toEqual([-1, -1, -1]);
  });

  it('reads month-first files, and refuses dates that contradict each other', async () => {
    expect(await load('time,L\n01/02/14 00,1\n01/13/14 00,2\n')).toMatchObject({ added: 2, withoutTime: 0 });
    expect(new Date((await store.call('rows', [], 9)).timesMs[0]!).toISOString()).toContain('2014-01-02');
    const mixed = 'time,L\n05/06/15 00,1\n01/13/15 00,2\n13/01/15 01,3\n';
    await expect(load(mixed)).rejects.toMatchObject({
      code: 'IMPORT_INVALID',
      message: expect.stringContaining(
        'has dates with the day first (13/01/15 01) and dates with the month first (01/13/15 00); mend them, or set import.dateOrder',
      ),
    });
    expect(await load(mixed, ['L'], { dateOrder: 'dmy' })).toMatchObject({ added: 2, withoutTime: 1 });
  });

  it('says which order of a date it took where none settles it, and takes a column that is called and filled like labels', async () => {
    const text = 'time,L,attack\n01/02/2024 00:00,1,1\n01/02/2024 01:00,1,0\n01/02/2024 02:00,1,-999\n';
    const { warnings } = await load(text, ['L']);
    expect(warnings).toEqual([
      "no date tells day from month: '01/02/2024 00:00' was read day first, as 2024-02-01; set import.dateOrder in the agent's file to dmy or mdy, remove the agent's rows, and import again",
      "column 'attack' was taken for labels (1 attack, 0 normal); set import.labelColumn in the agent's file to another if it is not",
    ]);
    expect([...(await store.call('rows', [], 9)).labels]).toEqual([1, 0, 2]);
    expect(await load(text, [], { dateOrder: 'mdy' })).toMatchObject({ added: 3, warnings: [expect.any(String)] });
    expect(await store.call('lastTags')).toEqual(['L']);
  });

  it('asks about columns that may be labels, and takes labels of rows that it has without', async () => {
    const text = 'time,L,flagged,depth\n2024-01-01 00:00,1,1,7\n2024-01-01 01:00,1,-999,7\n2024-01-01 02:00,1,0,7\n';
    expect((await load(text, ['L'])).warnings).toEqual([
      "no column of labels: every row counts as normal, but 'flagged' looks like labels; set import.labelColumn in the agent's file, and import again",
    ]);
    expect((await load('time,L\n2024-01-02,1\n', ['L'])).warnings).toEqual([
      "no column of labels: every row counts as normal; where attacks are marked, set import.labelColumn in the agent's file",
    ]);
    expect(await load(text, ['L'], { labelColumn: 'flagged' })).toMatchObject({ added: 0, known: 3, unknownLabels: 1 });
    expect([...(await store.call('rows', [], 9)).labels]).toEqual([1, 2, 0, -1]);
  });

  it('says when rows are not as far apart as configured', async () => {
    const text = 'time,L,ATT_FLAG\n2014-01-06 00:00,1,0\n2014-01-06 00:15,1,0\n2014-01-06 00:30,1,0\n';
    const { warnings } = await load(text);
    expect(warnings).toEqual([
      'rows are mostly 900 s apart, the configured interval is 3600 s; features need them equal',
    ]);
  });

  it.each([
    ['', 'is empty'],
    ['L,F\n1,2\n', 'no column of times'],
    ['time,A,B\n1,2,3\n', 'no column for any tag (L, F)'],
  ])('refuses a file it cannot use: %j', async (text, message) => {
    await expect(load(text)).rejects.toMatchObject({
      code: 'IMPORT_INVALID',
      message: expect.stringContaining(message),
    });
  });

  it('refuses a file that is not there', async () => {
    const settings = agentSchema.shape.import.parse(undefined);
    await expect(importHistory(store, join(directory, 'none.csv'), ['L'], settings, HOUR)).rejects.toMatchObject({
      code: 'IMPORT_INVALID',
    });
  });
});
