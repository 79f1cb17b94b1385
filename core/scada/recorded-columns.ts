import { type DateOrder, orderEvidence, parseTime } from './dates.js';

/**
 * How a historian's CSV is read, wherever one is: which column holds times and which labels, in which order its dates are written,
 * and what a label says.
 */

const TIME_COLUMNS = ['datetime', 'timestamp', 'time', 'date'];
const LABEL_COLUMN = 'ATT_FLAG';
/** Names that people give to a column of labels; one counts as such only where its cells are labels, too. */
const LABEL_NAMES =
  /^(att_?flag|attacks?|is_?attack|labels?|anomal(y|ous)|is_?anomaly|class|normal\/attack|under_?attack)$/i;

/** Index of a column, whatever its case; −1 where there is none. */
export function columnAt(header: readonly string[], name: string): number {
  return header.findIndex((column) => column.trim().toLowerCase() === name.toLowerCase());
}

/** Index of the column of times: the one that is `wanted`, or the first of the usual names; −1 where there is none. */
export function timeColumnAt(header: readonly string[], wanted: string | undefined): number {
  if (wanted !== undefined) return columnAt(header, wanted);
  return TIME_COLUMNS.map((name) => columnAt(header, name)).find((at) => at >= 0) ?? -1;
}

/** Index of the column of labels: the one that is `wanted`, or BATADAL's; −1 where there is none. */
export function labelColumnAt(header: readonly string[], wanted: string | undefined): number {
  return columnAt(header, wanted ?? LABEL_COLUMN);
}

/** What a cell of a column of labels says: 0 normal, 1 attack; null where nobody knows (−999, empty, anything else). */
export function labelOf(cell: string): 0 | 1 | null {
  const text = cell.trim();
  if (text === '') return null;
  const value = Number(text);
  return value === 0 ? 0 : value === 1 ? 1 : null;
}

/** Which of some columns may hold labels, by their cells: nothing but 0, 1 and −999. Made for looking through a file once, row by row. */
export function labelSearch(header: readonly string[], columns: readonly number[]) {
  const possible = new Set(columns);
  const unknown = new Set<number>();
  return {
    row(cells: readonly string[]): void {
      for (const column of possible) {
        const text = (cells[column] ?? '').trim();
        const value = text === '' ? -999 : Number(text);
        if (value === -999) unknown.add(column);
        if (value !== 0 && value !== 1 && value !== -999) possible.delete(column);
      }
    },
    /** `named` is called like a column of labels, too; `unnamed` are columns with any −999 or with 0 and 1 alone. */
    found(): { named: number; unnamed: number[] } {
      const named = [...possible].find((column) => LABEL_NAMES.test(header[column]?.trim() ?? '')) ?? -1;
      return { named, unnamed: [...possible].filter((column) => column !== named) };
    },
  };
}

/** In which order day, month and year stand in a file's dates, and how one knows. */
export interface DateReading {
  readonly order: DateOrder;
  /** A date that can be read either way in a file where none settles it; null where one does, or somebody said the order. */
  readonly unsettled: string | null;
  /** A date that has the day first and one that has the month first; null unless the file has both and nobody said the order. */
  readonly mixed: readonly [string, string] | null;
}

/** Looks through the dates of a file once, row by row. One file has one order: where dates contradict each other, somebody has to say it. */
export function dateSearch(wanted: 'auto' | DateOrder) {
  const seen = new Map<ReturnType<typeof orderEvidence>, string>();
  return {
    row(text: string): void {
      const evidence = orderEvidence(text);
      if (!seen.has(evidence)) seen.set(evidence, text.trim());
    },
    found(): DateReading {
      if (wanted !== 'auto') return { order: wanted, unsettled: null, mixed: null };
      const [dmy, mdy] = [seen.get('dmy'), seen.get('mdy')];
      return {
        order: mdy === undefined ? 'dmy' : 'mdy',
        unsettled: dmy === undefined && mdy === undefined ? (seen.get('ambiguous') ?? null) : null,
        mixed: dmy === undefined || mdy === undefined ? null : [dmy, mdy],
      };
    },
  };
}

/** What is to be told of the dates of a file that was read, or null. `setting` is where the order can be said. */
export function dateWarning({ unsettled, order }: DateReading, setting: string): string | null {
  if (unsettled === null) return null;
  const day = new Date(parseTime(unsettled, order) ?? 0).toISOString().slice(0, 10);
  return `no date tells day from month: '${unsettled}' was read day first, as ${day}; set ${setting} to dmy or mdy`;
}

/** Why dates that contradict each other cannot be read. `setting` is where the order can be said. */
export function mixedDates([dayFirst, monthFirst]: readonly [string, string], setting: string): string {
  return `has dates with the day first (${dayFirst}) and dates with the month first (${monthFirst}); mend them, or set ${setting} to say which is right`;
}
