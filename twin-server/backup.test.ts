import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Journal } from './aggregator/journal.js';
import { INITIAL_STATE } from './aggregator/rounds/round-state.js';
import { openJournal } from './aggregator/sqlite-journal.js';
import { backupServer, restoreServer } from './backup.js';

const RUN = 'run';
let folder: string;
let dataDir: string;
let journal: Journal;

const commit = (committed: number) =>
  journal.transaction(() => {
    const { hash } = journal.putBlob(Uint8Array.of(committed));
    journal.saveState(RUN, { ...INITIAL_STATE, committed, globalHash: hash });
  });

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'twinwatch-backup-'));
  dataDir = join(folder, 'server');
  mkdirSync(dataDir);
  journal = openJournal(join(dataDir, 'server.db'));
  writeFileSync(join(dataDir, 'twin-features.cbor'), 'rows');
});
afterEach(() => {
  journal.close();
  rmSync(folder, { recursive: true });
});

describe('backup of a server', () => {
  it('is of one moment of a server that runs on, and becomes the data of another one', async () => {
    commit(7);
    const made = await backupServer(dataDir, join(folder, 'monday'), 5_000);
    commit(8);
    expect(readdirSync(folder).sort()).toEqual(['monday', 'server']);
    const elsewhere = join(folder, 'new', 'server');
    expect(await restoreServer(made.folder, elsewhere)).toEqual(made);
    expect(readdirSync(elsewhere).sort()).toEqual(['server.db', 'twin-features.cbor']);
    const restored = openJournal(join(elsewhere, 'server.db'));
    const state = restored.loadState(RUN);
    expect(state?.committed).toBe(7);
    expect(restored.blob(state!.globalHash!)).toEqual(Uint8Array.of(7));
    restored.close();
    expect(journal.loadState(RUN)?.committed).toBe(8);
  });

  it('never overwrites, and never puts back what is damaged', async () => {
    commit(1);
    const target = join(folder, 'monday');
    await backupServer(dataDir, target, 0);
    await expect(backupServer(dataDir, target, 0)).rejects.toThrow(/exists already/);
    await expect(backupServer(folder, join(folder, 'x'), 0)).rejects.toThrow(/holds no server.db/);
    await expect(restoreServer(target, dataDir)).rejects.toThrow(/holds a journal already/);
    await expect(restoreServer(dataDir, join(folder, 'y'))).rejects.toThrow(/backup.json cannot be read/);
    writeFileSync(join(target, 'twin-features.cbor'), 'rowz');
    await expect(restoreServer(target, join(folder, 'y'))).rejects.toMatchObject({
      code: 'BACKUP_FAILED',
      message: expect.stringMatching(/twin-features.cbor is not what was copied/),
    });
    await expect(backupServer(dataDir, join(folder, 'no', 'such', 'place'), 0)).resolves.toMatchObject({});
    expect(readdirSync(folder).sort()).toEqual(['monday', 'no', 'server']);
  });
});
