import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** scripts/dist/processes → the repository. */
export const ROOT = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));

/** The compiled twinwatch command, which starts every other process. */
export const COMMAND = join(ROOT, 'scripts', 'dist', 'twinwatch.js');

export const configFile = (...path: string[]): string => join(ROOT, 'configs', ...path);

/** A path as a person wrote it, or, where there is no such file, the one of that name in the repository. */
export function fromRepository(path: string): string {
  return existsSync(path) ? resolve(path) : resolve(ROOT, path);
}
