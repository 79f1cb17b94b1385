import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FieldTrialData } from './field-trial-data.js';
import { reportPage } from './report-page.js';

/** Names the layout of report.json, described in docs/field-trial-report.md; another number means that a reader must look again. */
export const REPORT_SCHEMA = 'twinwatch.field-trial/1';

/** Writes report.html and report.json into `outDir`, which is made where it is missing. Returns their paths. */
export async function writeReport(
  outDir: string,
  data: FieldTrialData,
): Promise<{ readonly html: string; readonly json: string }> {
  await mkdir(outDir, { recursive: true });
  const paths = { html: join(outDir, 'report.html'), json: join(outDir, 'report.json') };
  await writeWhole(paths.json, `${JSON.stringify({ schema: REPORT_SCHEMA, ...data }, null, 1)}\n`);
  await writeWhole(paths.html, reportPage(data));
  return paths;
}

/** Renamed into place, so that a reader never sees half of it. */
async function writeWhole(path: string, text: string): Promise<void> {
  await writeFile(`${path}.part`, text);
  await rename(`${path}.part`, path);
}
