import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { whyUnreadable } from '@twinwatch/core/config/load';
import { TwinwatchError } from '@twinwatch/core/errors';
import { readNeuron } from './import/neuron.js';
import { readTelegraf } from './import/telegraf.js';
import { readThingsBoard } from './import/thingsboard.js';
import { draftFiles, type SiteDraft } from './site-draft.js';

export type ForeignFormat = 'telegraf' | 'thingsboard' | 'neuron';

/** @throws TwinwatchError CLI_IMPORT_UNREADABLE, where the text is not of that format. */
export function draftOf(format: ForeignFormat, text: string, file: string, url: string): SiteDraft {
  try {
    if (format === 'telegraf') return readTelegraf(text);
    return format === 'thingsboard' ? readThingsBoard(text) : readNeuron(text, url);
  } catch (cause) {
    throw unreadable(format, file, cause);
  }
}

function unreadable(format: ForeignFormat, file: string, cause: unknown): TwinwatchError {
  return new TwinwatchError(
    'CLI_IMPORT_UNREADABLE',
    `${file} cannot be read as a file of ${format}: ${(cause as Error).message}`,
    { context: { file }, cause },
  );
}

/**
 * Writes agent.yaml and a template for each device from another program's file, and says what could not be taken over.
 * @throws TwinwatchError CLI_IMPORT_UNREADABLE, CLI_FILE_EXISTS.
 */
export async function importConfig(format: ForeignFormat, file: string, out: string, url: string): Promise<void> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new TwinwatchError('CLI_IMPORT_UNREADABLE', `${file} cannot be read: ${whyUnreadable(cause)}`, { cause });
  });
  await writeDraft(draftOf(format, text, file, url), out, `From ${file} (${format})`);
}

/** To be looked at by a person, so nothing that is there is written over. @throws TwinwatchError CLI_FILE_EXISTS */
export async function writeDraft(draft: SiteDraft, out: string, origin: string): Promise<void> {
  const { files, notes, tags, devices } = draftFiles(draft, origin);
  await mkdir(out, { recursive: true });
  for (const [name, text] of files)
    await writeFile(join(out, name), text, { flag: 'wx' }).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== 'EEXIST') throw cause;
      throw new TwinwatchError(
        'CLI_FILE_EXISTS',
        `${join(out, name)} is there already; give another folder with --out`,
        {
          context: { file: join(out, name) },
        },
      );
    });
  const lines = [`${devices} devices with ${tags} tags, written to ${join(out, 'agent.yaml')}`];
  for (const note of notes) lines.push(`  ${note}`);
  process.stdout.write(`${lines.join('\n')}\n`);
}
