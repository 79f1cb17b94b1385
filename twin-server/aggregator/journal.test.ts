import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RoundView } from '@twinwatch/core/wire/http';
import Database from 'libsql';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openMemoryJournal } from './memory-journal.js';
import { openJournal } from './sqlite-journal.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'twinwatch-journal-'));
});
afterEach(() => rm(directory, { recursive: true }));

const update = {
  ...({ kind: 'update', round: 1, attempt: 0, baseHash: 'a'.repeat(64), codec: 'f32', layerMask: null } as const),
  ...{ delta: new Uint8Array(4), rows: 7, loss: 0.5, trainingMs: 3, scores: null },
};

it('keeps which rows of whom a round was made of, also in a journal that an earlier release has made', () => {
  const file = join(directory, 'server.db');
  const before = new Database(file);
  before.exec(
    'CREATE TABLE updates (run TEXT, round INTEGER, agent TEXT, kind TEXT, attempt INTEGER NOT NULL, base TEXT NOT NULL, codec TEXT NOT NULL, mask TEXT NOT NULL, delta BLOB, rows INTEGER NOT NULL, loss REAL NOT NULL, training_ms REAL NOT NULL, scores TEXT NOT NULL, PRIMARY KEY (run, round, agent, kind));',
  );
  before
    .prepare('INSERT INTO updates VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
    .run('r', 1, 'old', 'fit', 0, 'b', 'f32', 'null', null, 5, 0.1, 2, 'null');
  before.close();
  const window = { fromMs: 1_000, toMs: 9_000 };
  for (const opening of [1, 2]) {
    const journal = openJournal(file);
    if (opening === 1) journal.putUpdate('r', 'site-1', 'fit', { ...update, window });
    expect(journal.contributors('r', 1)).toEqual([
      { agent: 'old', rows: 5 },
      { agent: 'site-1', rows: 7, window },
    ]);
    journal.close();
  }
});

it('keeps the newest refusals of each agent, however many another one causes', () => {
  const journal = openJournal(':memory:');
  const rejection = { round: 1, attempt: 1, verdict: 'malformed', detail: '' };
  journal.transaction(() => {
    for (let i = 0; i < 3; i++) journal.putRejection('r', { ...rejection, agent: 'calm', atMs: i });
    for (let i = 0; i < 1_200; i++) journal.putRejection('r', { ...rejection, agent: 'noisy', atMs: i });
  });
  const kept = journal.rejections('r', 10_000);
  expect(kept.filter(({ agent }) => agent === 'calm')).toHaveLength(3);
  const noisy = kept.filter(({ agent }) => agent === 'noisy');
  expect(noisy).toHaveLength(1_000);
  expect(noisy.at(-1)).toEqual({ ...rejection, agent: 'noisy', atMs: 1_199 });
  journal.close();
});

it.each([
  ['a file', () => openJournal(':memory:')],
  ['memory', () => openMemoryJournal()],
] as const)('gives the last attempts of the newest rounds, of all that %s holds', (_, open) => {
  const journal = open();
  const attempts = [1, 2, 3, 4].flatMap((round) => [1, 2].map((attempt) => ({ round, attempt })));
  for (const { round, attempt } of attempts)
    journal.putRound('r', attempt, { round, phase: attempt === 2 ? 'committed' : 'failed' } as RoundView, '');
  const shown = (limit?: number) => journal.rounds('r', limit).map(({ round, phase }) => `${round} ${phase}`);
  expect(shown(2)).toEqual(['3 committed', '4 committed']);
  expect(shown()).toEqual(['1 committed', '2 committed', '3 committed', '4 committed']);
  journal.close();
});
