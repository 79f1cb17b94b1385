import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TwinwatchError } from '@twinwatch/core/errors';

const FILE = 'demo.pid';

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/**
 * Makes the data directory, and makes sure that no other demonstration uses it. The result gives it back.
 * @throws TwinwatchError CLI_DATA_DIR_IN_USE, CLI_DATA_DIR_UNUSABLE
 */
export function claimDataDir(dataDir: string): () => void {
  try {
    mkdirSync(dataDir, { recursive: true });
  } catch (cause) {
    throw new TwinwatchError(
      'CLI_DATA_DIR_UNUSABLE',
      `${dataDir} cannot be made (${cause instanceof Error ? cause.message : String(cause)}); choose another directory with --data-dir`,
      { context: { dataDir }, cause },
    );
  }
  const file = join(dataDir, FILE);
  const holder = readPid(file);
  if (holder !== null && holder !== process.pid && isRunning(holder))
    throw new TwinwatchError(
      'CLI_DATA_DIR_IN_USE',
      `process ${holder} already runs a demonstration in ${dataDir}; stop it, or choose another directory with --data-dir (if that process is something else, delete ${file})`,
      { context: { dataDir, pid: holder } },
    );
  writeFileSync(file, String(process.pid));
  return () => rmSync(file, { force: true });
}

function readPid(file: string): number | null {
  try {
    const pid = Number(readFileSync(file, 'utf8'));
    return Number.isInteger(pid) && pid > 0 ? pid : null;
  } catch {
    return null;
  }
}
