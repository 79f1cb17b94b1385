import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { claimDataDir } from './data-dir.js';

it('is one demonstration at a time, and says so of a place where none can be', () => {
  const folder = mkdtempSync(join(tmpdir(), 'twinwatch-data-dir-'));
  const dataDir = join(folder, 'demo');
  claimDataDir(dataDir)();
  const give = claimDataDir(dataDir);
  writeFileSync(join(dataDir, 'demo.pid'), String(process.ppid));
  expect(() => claimDataDir(dataDir)).toThrow(/already runs a demonstration/);
  give();
  claimDataDir(dataDir)();
  writeFileSync(join(folder, 'file'), '');
  expect(() => claimDataDir(join(folder, 'file', 'demo'))).toThrow(/cannot be made .*ENOTDIR.*--data-dir/);
  rmSync(folder, { recursive: true });
});
