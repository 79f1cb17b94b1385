import { TwinwatchError } from '@twinwatch/core/errors';
import { type DateOrder, parseTime } from '@twinwatch/core/scada/dates';
import {
  columnAt,
  dateSearch,
  dateWarning,
  labelColumnAt,
  labelOf,
  mixedDates,
  timeColumnAt,
} from '@twinwatch/core/scada/recorded-columns';
import type { Row } from '@twinwatch/core/scada/sample';
import { parse } from 'csv-parse/sync';

/** A recording of a plant in a CSV file: a historian's export. */

export interface RecordingColumns {
  readonly timeColumn?: string | undefined;
  readonly dateOrder: 'auto' | DateOrder;
  /** Tag → column, where they differ. */
  readonly columns: Readonly<Record<string, string>>;
  readonly delimiter: string;
  /** 0 normal, 1 attack, anything else not known. ATT_FLAG where absent. */
  readonly labelColumn?: string | undefined;
  /** As labelColumn, of a file that may do without. */
  readonly optionalLabelColumn?: string | undefined;
}

export interface RecordedRows {
  /** In the order of time; [tags] values each, NaN where the file has no number. */
  readonly rows: readonly Row[];
  /** [rows]; null where the label is neither 0 nor 1. Null where the file has no labels. */
  readonly labels: readonly (0 | 1 | null)[] | null;
  /** Most frequent time between two rows. */
  readonly intervalMs: number;
  /** For a person: what is not as it should be, and was handled. */
  readonly warnings: readonly string[];
}

/** Named as in configuration files, and on the command line as --date-order. */
const DATE_SETTING = 'dateOrder';
/** Bad lines named in a message. */
const NAMED_LINES = 5;

/**
 * The rows of a CSV file with the given tags.
 * @throws TwinwatchError FEED_INVALID naming the columns that are missing, or the lines whose times cannot be read or go back.
 */
export function parseRecording(
  bytes: Uint8Array,
  file: string,
  tagNames: readonly string[],
  options: RecordingColumns,
): RecordedRows {
  const [header, ...lines] = records(file, bytes, options.delimiter);
  if (header === undefined || lines.length === 0)
    throw invalidRecording(file, 'is empty; give a CSV with a line of column names and a line per row');
  const places = placesOf(file, header, tagNames, options);
  const { times, dateWarnings } = timesOf(
    file,
    lines.map((line) => line[places.time] ?? ''),
    options.dateOrder,
  );
  let notNumbers = 0;
  const rows = lines.map((line, i): Row => {
    const values = Float64Array.from(places.tags, (column) => {
      const cell = (line[column] ?? '').trim();
      const value = cell === '' ? Number.NaN : Number(cell);
      if (!Number.isFinite(value)) notNumbers++;
      return Number.isFinite(value) ? value : Number.NaN;
    });
    return { timeMs: times[i]!, sequence: i + 1, values };
  });
  const labels = places.label === -1 ? null : lines.map((line) => labelOf(line[places.label] ?? ''));
  const unknown = labels?.filter((label) => label === null).length ?? 0;
  const intervalMs = commonStep(times);
  const gaps = times.filter((at, i) => i > 0 && at - times[i - 1]! > intervalMs * 1.5).length;
  const warnings = [
    ...dateWarnings,
    ...(notNumbers > 0 ? [`${notNumbers} values are not numbers; they count as not good`] : []),
    ...(unknown > 0 ? [`${unknown} rows are labelled neither 0 nor 1; they are not scored`] : []),
    ...(gaps > 0 ? [`${gaps} times rows are missing`] : []),
  ];
  return { rows, labels, intervalMs, warnings };
}

export function invalidRecording(file: string, message: string, cause?: unknown): TwinwatchError {
  return new TwinwatchError('FEED_INVALID', `${file} ${message}`, { cause, context: { file } });
}

function records(file: string, bytes: Uint8Array, delimiter: string): string[][] {
  try {
    return parse(Buffer.from(bytes), {
      delimiter,
      bom: true,
      skip_empty_lines: true,
      relax_column_count: true,
      trim: true,
    });
  } catch (cause) {
    throw invalidRecording(file, `is not a CSV: ${(cause as Error).message}`, cause);
  }
}

function placesOf(file: string, header: readonly string[], tagNames: readonly string[], options: RecordingColumns) {
  const at = (name: string) => columnAt(header, name);
  const present = `its columns are ${header.join(', ')}`;
  const time = timeColumnAt(header, options.timeColumn);
  if (time === -1) throw invalidRecording(file, `has no column of times; name it; ${present}`);
  const label = labelColumnAt(header, options.labelColumn ?? options.optionalLabelColumn);
  if (label === -1 && options.labelColumn !== undefined)
    throw invalidRecording(file, `has no column of labels called '${options.labelColumn}'; ${present}`);
  const tags = tagNames.map((tag) => at(options.columns[tag] ?? tag));
  const missing = tagNames.filter((_, i) => tags[i] === -1);
  if (missing.length > 0)
    throw invalidRecording(
      file,
      `has no column for ${missing.join(', ')}; map those that have another name; ${present}`,
    );
  return { time, label, tags };
}

function timesOf(
  file: string,
  texts: readonly string[],
  dateOrder: RecordingColumns['dateOrder'],
): { times: number[]; dateWarnings: string[] } {
  const search = dateSearch(dateOrder);
  for (const text of texts) search.row(text);
  const dates = search.found();
  if (dates.mixed !== null) throw invalidRecording(file, mixedDates(dates.mixed, DATE_SETTING));
  const warning = dateWarning(dates, DATE_SETTING);
  const times = texts.map((text) => parseTime(text, dates.order));
  // The header is line 1.
  const named = (wrong: (i: number) => boolean) => [...times.keys()].filter(wrong).map((i) => `${i + 2} (${texts[i]})`);
  const unreadable = named((i) => times[i] === null);
  if (unreadable.length > 0)
    throw invalidRecording(
      file,
      `has ${unreadable.length} times that cannot be read, on lines ${unreadable.slice(0, NAMED_LINES).join(', ')}`,
    );
  const backwards = named((i) => i > 0 && times[i]! <= times[i - 1]!);
  if (backwards.length > 0)
    throw invalidRecording(
      file,
      `has times that do not rise, on lines ${backwards.slice(0, NAMED_LINES).join(', ')}; sort it and remove doubles`,
    );
  return { times: times as number[], dateWarnings: warning === null ? [] : [warning] };
}

function commonStep(times: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const [i, at] of times.entries())
    if (i > 0) counts.set(at - times[i - 1]!, (counts.get(at - times[i - 1]!) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 0;
}
