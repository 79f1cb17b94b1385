import { createReadStream } from 'node:fs';
import type { AgentConfig } from '@twinwatch/core/config/agent';
import { TwinwatchError } from '@twinwatch/core/errors';
import { parseTime } from '@twinwatch/core/scada/dates';
import {
  columnAt,
  type DateReading,
  dateSearch,
  dateWarning,
  labelColumnAt,
  labelOf,
  labelSearch,
  mixedDates,
  timeColumnAt,
} from '@twinwatch/core/scada/recorded-columns';
import { parse } from 'csv-parse';
import { ANOMALOUS, type ImportedRows, UNKNOWN, UNLABELLED } from '../store/row-table.js';
import type { Store } from '../store/store.js';

/** What became of one history file, for a person to read. */
export interface ImportReport {
  readonly file: string;
  readonly rows: number;
  /** New in the store. */
  readonly added: number;
  /** Their time was in the store, or in the file, already. */
  readonly known: number;
  /** Left out: no time in them. */
  readonly withoutTime: number;
  /** Cells of tags that hold no number; such a value is not good, and no feature is computed from it. */
  readonly badValues: number;
  /** Rows labelled neither 0 nor 1 (−999, empty): kept, never learned from, never counted as normal. */
  readonly unknownLabels: number;
  readonly anomalousRows: number;
  /** Tags of the site that the file does not have. */
  readonly missingTags: readonly string[];
  /** Columns that no tag is read from. */
  readonly ignoredColumns: readonly string[];
  readonly warnings: readonly string[];
}

type ImportSettings = AgentConfig['import'];

const BATCH_ROWS = 1_000;

interface Layout {
  readonly time: number;
  readonly label: number;
  readonly tags: readonly string[];
  /** [tags] index of each tag's column, −1 where the file has none. */
  readonly columns: readonly number[];
  readonly ignored: readonly string[];
}

/**
 * Reads a CSV into the store. Idempotent: rows are known by their time; one that had no label takes that of a later import.
 * @param siteTags none for an agent without devices: every column is a tag then.
 * @throws TwinwatchError IMPORT_INVALID where the file cannot be read, or lacks a column of times or every tag, or has dates that contradict each other.
 */
export async function importHistory(
  store: Store,
  file: string,
  siteTags: readonly string[],
  settings: ImportSettings,
  intervalMs: number,
): Promise<ImportReport> {
  const { layout, dates, warnings } = await survey(file, siteTags, settings);
  const counts = { rows: 0, added: 0, dated: 0, withoutTime: 0, badValues: 0, unknownLabels: 0, anomalousRows: 0 };
  const steps = new Map<number, number>();
  let lastMs = Number.NaN;
  let batch: { timeMs: number; values: Float64Array; label: number }[] = [];
  const flush = async () => {
    if (batch.length > 0) counts.added += await store.call('importRows', packed(layout.tags, batch));
    batch = [];
  };
  for await (const record of records(file, settings.delimiter)) {
    if (counts.rows++ === 0) continue;
    const timeMs = parseTime(record[layout.time] ?? '', dates.order);
    if (timeMs === null) {
      counts.withoutTime++;
      continue;
    }
    counts.dated++;
    if (!Number.isNaN(lastMs)) steps.set(timeMs - lastMs, (steps.get(timeMs - lastMs) ?? 0) + 1);
    lastMs = timeMs;
    const values = Float64Array.from(layout.columns, (column) => {
      if (column < 0) return Number.NaN;
      const cell = (record[column] ?? '').trim();
      const value = cell === '' ? Number.NaN : Number(cell);
      if (!Number.isFinite(value)) counts.badValues++;
      return Number.isFinite(value) ? value : Number.NaN;
    });
    const label = layout.label < 0 ? UNLABELLED : (labelOf(record[layout.label] ?? '') ?? UNKNOWN);
    if (label === UNKNOWN) counts.unknownLabels++;
    if (label === ANOMALOUS) counts.anomalousRows++;
    if (batch.push({ timeMs, values, label }) >= BATCH_ROWS) await flush();
  }
  await flush();
  const [common] = [...steps].sort((a, b) => b[1] - a[1]);
  if (common !== undefined && common[0] !== intervalMs)
    warnings.push(
      `rows are mostly ${common[0] / 1_000} s apart, the configured interval is ${intervalMs / 1_000} s; features need them equal`,
    );
  const missingTags = layout.tags.filter((_, i) => layout.columns[i]! < 0);
  const { dated, ...told } = counts;
  return {
    ...told,
    file,
    rows: counts.rows - 1,
    known: dated - counts.added,
    missingTags,
    ignoredColumns: layout.ignored,
    warnings,
  };
}

async function* records(file: string, delimiter: string): AsyncGenerator<string[]> {
  const parser = parse({ delimiter, bom: true, skip_empty_lines: true, relax_column_count: true });
  const input = createReadStream(file);
  input.on('error', (error) => parser.destroy(error));
  try {
    for await (const record of input.pipe(parser)) yield record as string[];
  } catch (cause) {
    throw new TwinwatchError('IMPORT_INVALID', `${file}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  } finally {
    input.destroy();
  }
}

const DATE_SETTING = "import.dateOrder in the agent's file";
const LABEL_SETTING = "import.labelColumn in the agent's file";

/** A first pass: which column is what, and in which order days and months are written. */
async function survey(
  file: string,
  siteTags: readonly string[],
  settings: ImportSettings,
): Promise<{ layout: Layout; dates: DateReading; warnings: string[] }> {
  let header: readonly string[] | null = null;
  let time = -1;
  let labels = labelSearch([], []);
  const dateOrder = dateSearch(settings.dateOrder);
  for await (const record of records(file, settings.delimiter)) {
    if (header === null) {
      header = record.map((name) => name.trim());
      time = timeColumnAt(header, settings.timeColumn);
      labels = labelSearch(header, columnsWithoutTags(header, time, siteTags, settings));
      continue;
    }
    dateOrder.row(record[time] ?? '');
    labels.row(record);
  }
  if (header === null)
    throw new TwinwatchError('IMPORT_INVALID', `${file} is empty; give a CSV with a line of column names`);
  const dates = dateOrder.found();
  if (dates.mixed !== null)
    throw new TwinwatchError('IMPORT_INVALID', `${file} ${mixedDates(dates.mixed, DATE_SETTING)}`, {
      context: { file },
    });
  const warning = dateWarning(dates, DATE_SETTING);
  const told = labelColumnAt(header, settings.labelColumn);
  const { named, unnamed } = labels.found();
  const label = told < 0 && settings.labelColumn === undefined ? named : told;
  const layout = layoutOf(file, header, { time, label }, siteTags, settings);
  return {
    layout,
    dates,
    warnings: [
      ...(warning === null ? [] : [`${warning}, remove the agent's rows, and import again`]),
      ...(told < 0 ? labelWarnings(header, label, siteTags.length > 0 ? unnamed : []) : []),
    ],
  };
}

/** Where labels may be: a column that is neither time nor a tag of the site's devices. */
function columnsWithoutTags(
  header: readonly string[],
  time: number,
  siteTags: readonly string[],
  { columns }: ImportSettings,
): number[] {
  const taken = new Set([time, ...siteTags.map((tag) => columnAt(header, columns[tag] ?? tag))]);
  return [...header.keys()].filter((column) => !taken.has(column));
}

function labelWarnings(header: readonly string[], label: number, unnamed: readonly number[]): string[] {
  if (label >= 0)
    return [
      `column '${header[label]}' was taken for labels (1 attack, 0 normal); set ${LABEL_SETTING} to another if it is not`,
    ];
  const all = 'no column of labels: every row counts as normal';
  if (unnamed.length === 0) return [`${all}; where attacks are marked, set ${LABEL_SETTING}`];
  const names = unnamed.map((column) => `'${header[column]}'`).join(', ');
  return [
    `${all}, but ${names} ${unnamed.length === 1 ? 'looks' : 'look'} like labels; set ${LABEL_SETTING}, and import again`,
  ];
}

function layoutOf(
  file: string,
  names: readonly string[],
  { time, label }: { time: number; label: number },
  siteTags: readonly string[],
  settings: ImportSettings,
): Layout {
  const present = names.join(', ');
  const invalid = (message: string) =>
    new TwinwatchError('IMPORT_INVALID', `${file}: ${message}; its columns are ${present}`, {
      context: { file, columns: names },
    });
  if (time < 0)
    throw invalid(
      `no column of times${settings.timeColumn === undefined ? '' : ` called '${settings.timeColumn}'`}; name it as import.timeColumn`,
    );
  if (label < 0 && settings.labelColumn !== undefined)
    throw invalid(`no column of labels called '${settings.labelColumn}'`);
  const tags = siteTags.length > 0 ? siteTags : names.filter((_, i) => i !== time && i !== label);
  const columns = tags.map((tag) => columnAt(names, settings.columns[tag] ?? tag));
  if (columns.every((column) => column < 0))
    throw invalid(`no column for any tag (${tags.join(', ')}); map them under import.columns`);
  const used = new Set([time, label, ...columns]);
  return { time, label, tags, columns, ignored: names.filter((_, i) => !used.has(i)) };
}

function packed(
  tags: readonly string[],
  batch: readonly { timeMs: number; values: Float64Array; label: number }[],
): ImportedRows {
  const values = new Float64Array(batch.length * tags.length);
  for (const [i, row] of batch.entries()) values.set(row.values, i * tags.length);
  return {
    tags,
    timesMs: Float64Array.from(batch, ({ timeMs }) => timeMs),
    values,
    labels: Int8Array.from(batch, ({ label }) => label),
  };
}

/** One line for a person, and one for each thing to look at. */
export function describeImport(report: ImportReport): string {
  const {
    file,
    rows,
    added,
    known,
    withoutTime,
    badValues,
    unknownLabels,
    anomalousRows,
    missingTags,
    ignoredColumns,
  } = report;
  const lines = [`${file}: ${rows} rows, ${added} added${known > 0 ? `, ${known} known already` : ''}`];
  if (withoutTime > 0) lines.push(`  ${withoutTime} rows left out: no time that can be read`);
  if (badValues > 0) lines.push(`  ${badValues} values are not numbers; they count as not good`);
  if (unknownLabels > 0)
    lines.push(`  ${unknownLabels} rows are labelled neither 0 nor 1; they are never learned from`);
  if (anomalousRows > 0) lines.push(`  ${anomalousRows} rows are labelled as attacks`);
  if (missingTags.length > 0) lines.push(`  no column for ${missingTags.join(', ')}`);
  if (ignoredColumns.length > 0) lines.push(`  not used: ${ignoredColumns.join(', ')}`);
  return [...lines, ...report.warnings.map((warning) => `  ${warning}`)].join('\n');
}
