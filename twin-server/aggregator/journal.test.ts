import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import { afterEach, beforeEach, expect, it } from 'vitest';
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
