import { readFile } from 'node:fs/promises';
import type { MeasuredTwins } from './advise.js';

/** The figures that come with this release, made by the experiments named in them. */
export async function measuredTwins(): Promise<MeasuredTwins> {
  return JSON.parse(
    await readFile(new URL('../../advice/measured-twins.json', import.meta.url), 'utf8'),
  ) as MeasuredTwins;
}
