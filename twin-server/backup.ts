import { createHash, randomUUID } from 'node:crypto';
import { copyFile, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { TwinwatchError } from '@twinwatch/core/errors';
import { z } from 'zod';
import { copyJournal } from './aggregator/journal-copy.js';

/**
 * Copies of what a server knows. Made while it runs: the journal is copied as of one moment, and the rest is written once and then only read.
 */

/** What was copied, and how it is told from something else. */
const LIST = 'backup.json';
const JOURNAL = 'server.db';
/** Made anew where they are missing: the twin's rows, and demands that were fitted to the sites. */
const BESIDE = ['twin-features.cbor', 'demands.yaml'];

const listSchema = z.object({
  format: z.literal(1),
  madeAtMs: z.number(),
  files: z.record(z.string(), z.object({ bytes: z.number(), sha256: z.string() })),
});

export interface Backup {
  readonly folder: string;
  readonly madeAtMs: number;
  readonly bytes: number;
}

/**
 * @param dataDir of a server, which may run. @param folder that the backup becomes; its parent must exist, itself must not.
 * @throws TwinwatchError BACKUP_FAILED, with nothing left behind.
 */
export async function backupServer(dataDir: string, folder: string, nowMs: number): Promise<Backup> {
  const target = resolve(folder);
  if (await exists(target))
    throw failed(`${target} exists already; name a folder that does not, as one with today's date`);
  if (!(await exists(join(dataDir, JOURNAL))))
    throw failed(`${dataDir} holds no ${JOURNAL}; is it the dataDir of a server that has run?`);
  const part = join(dirname(target), `.${randomUUID()}.part`);
  return undoing(part, async () => {
    await mkdir(part, { recursive: true });
    copyJournal(join(dataDir, JOURNAL), join(part, JOURNAL));
    const names = [JOURNAL];
    for (const name of BESIDE) {
      if (!(await exists(join(dataDir, name)))) continue;
      await copyFile(join(dataDir, name), join(part, name));
      names.push(name);
    }
    const files = Object.fromEntries(
      await Promise.all(names.map(async (name) => [name, await described(join(part, name))])),
    );
    const list: z.output<typeof listSchema> = { format: 1, madeAtMs: nowMs, files };
    await writeFile(join(part, LIST), `${JSON.stringify(list, null, 2)}\n`);
    await rename(part, target);
    return summary(target, list);
  });
}

/**
 * @param dataDir that a server is to go on with; without a journal in it.
 * @throws TwinwatchError BACKUP_FAILED where a file of the backup is missing or damaged, or dataDir is in use.
 */
export async function restoreServer(folder: string, dataDir: string): Promise<Backup> {
  const target = resolve(dataDir);
  if (await exists(join(target, JOURNAL)))
    throw failed(
      `${target} holds a journal already; stop its server and move the folder away, or restore to another one`,
    );
  const list = await readList(folder);
  for (const [name, wanted] of Object.entries(list.files)) {
    const found = await described(join(folder, name)).catch(() => null);
    if (found?.sha256 !== wanted.sha256 || found.bytes !== wanted.bytes)
      throw failed(`${join(folder, name)} is not what was copied into the backup; take another backup`);
  }
  await mkdir(target, { recursive: true });
  // The journal last: with it the folder counts as a server's.
  const names = Object.keys(list.files).filter((name) => name !== JOURNAL);
  for (const name of [...names, JOURNAL]) {
    const part = join(target, `${name}.part`);
    await undoing(part, async () => {
      await copyFile(join(folder, name), part);
      await rename(part, join(target, name));
    });
  }
  return summary(resolve(folder), list);
}

async function readList(folder: string): Promise<z.output<typeof listSchema>> {
  const file = join(folder, LIST);
  try {
    const list = listSchema.parse(JSON.parse(await readFile(file, 'utf8')));
    const known = [JOURNAL, ...BESIDE];
    if (list.files[JOURNAL] !== undefined && Object.keys(list.files).every((name) => known.includes(name))) return list;
  } catch (cause) {
    throw failed(`${file} cannot be read; is ${folder} what 'twinwatch backup' made?`, cause);
  }
  throw failed(`${file} does not list what a backup holds; take another backup`);
}

async function described(file: string): Promise<{ bytes: number; sha256: string }> {
  const bytes = await readFile(file);
  return { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

function summary(folder: string, { madeAtMs, files }: z.output<typeof listSchema>): Backup {
  return { folder, madeAtMs, bytes: Object.values(files).reduce((sum, { bytes }) => sum + bytes, 0) };
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

async function undoing<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    await rm(path, { recursive: true, force: true });
    if (cause instanceof TwinwatchError) throw cause;
    throw failed(
      `nothing was copied (${cause instanceof Error ? cause.message : String(cause)}); see that there is room and that the folder may be written`,
      cause,
    );
  }
}

function failed(message: string, cause?: unknown): TwinwatchError {
  return new TwinwatchError('BACKUP_FAILED', message, { cause });
}
