import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseConfig, whyUnreadable } from '@twinwatch/core/config/load';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { z } from 'zod';

/** @throws TwinwatchError CONFIG_UNREADABLE naming the file and what to do. */
export async function readTextFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new TwinwatchError('CONFIG_UNREADABLE', `${resolve(path)} cannot be read: ${whyUnreadable(cause)}`, {
      cause,
      context: { file: path },
    });
  }
}

/** @throws TwinwatchError CONFIG_UNREADABLE, CONFIG_INVALID */
export async function readConfig<S extends z.ZodType>(schema: S, path: string): Promise<z.output<S>> {
  return parseConfig(schema, await readTextFile(path), path);
}
