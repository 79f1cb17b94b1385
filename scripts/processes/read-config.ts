import { readFile } from 'node:fs/promises';
import { parseConfig } from '@twinwatch/core/config/load';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { z } from 'zod';

/** @throws TwinwatchError CONFIG_UNREADABLE naming the file and what to do. */
export async function readTextFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'is not there' : (cause as Error).message;
    throw new TwinwatchError('CONFIG_UNREADABLE', `${path} cannot be read: it ${why}; check the path and the rights`, {
      cause,
      context: { file: path },
    });
  }
}

/** @throws TwinwatchError CONFIG_UNREADABLE, CONFIG_INVALID */
export async function readConfig<S extends z.ZodType>(schema: S, path: string): Promise<z.output<S>> {
  return parseConfig(schema, await readTextFile(path), path);
}
