import { dirname, resolve } from 'node:path';
import { backupServer, restoreServer } from '@twinwatch/twin-server/backup';
import { loadServerConfig } from '@twinwatch/twin-server/server-config';
import { readTextFile } from '../processes/read-config.js';

/** @throws TwinwatchError CONFIG_*, BACKUP_FAILED */
export async function makeBackup(folder: string, { config }: { readonly config: string }): Promise<void> {
  const { bytes, folder: made } = await backupServer(await dataDirOf(config), folder, Date.now());
  process.stdout.write(`${made}: ${(bytes / 1e6).toFixed(1)} MB\n`);
}

/** @throws TwinwatchError CONFIG_*, BACKUP_FAILED */
export async function restoreBackup(folder: string, { config }: { readonly config: string }): Promise<void> {
  const dataDir = await dataDirOf(config);
  const { madeAtMs } = await restoreServer(folder, dataDir);
  process.stdout.write(`${dataDir} is as it was at ${new Date(madeAtMs).toISOString()}; start the server\n`);
}

async function dataDirOf(config: string): Promise<string> {
  const { dataDir } = await loadServerConfig(config, readTextFile);
  return resolve(dirname(config), dataDir);
}
