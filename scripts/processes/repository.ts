import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** scripts/dist/processes → the repository. */
const ROOT = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));

/** The compiled twinwatch command, which starts every other process. */
export const COMMAND = join(ROOT, 'scripts', 'dist', 'twinwatch.js');

export const configFile = (...path: string[]): string => join(ROOT, 'configs', ...path);
