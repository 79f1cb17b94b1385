import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { ProgressLine } from '../demo/progress-line.js';

/** Everything an experiment found, as JSON, for whoever wants more than its table. */
export async function writeResult(path: string, result: object, line: ProgressLine): Promise<void> {
  const file = resolve(path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, `${JSON.stringify(result, null, 1)}\n`);
  line.say(`results are in ${file}`);
}
