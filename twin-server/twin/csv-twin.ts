import { TwinwatchError } from '@twinwatch/core/errors';
import type { Row } from '@twinwatch/core/scada/sample';
import type { Tag } from '@twinwatch/core/scada/tag';
import { parse } from 'csv-parse/sync';
import { isAttacked } from './episode.js';
import type { TwinEpisode, TwinProgress, TwinRequest, TwinRows, TwinSource } from './twin-source.js';

const HOUR_MS = 3_600_000;
/** No row may jump by more than this many intervals within an episode. */
const LARGEST_STEP = 1.5;
/** Problems named in one message; the others are counted. */
const PROBLEMS_SHOWN = 10;

export interface CsvTwinOptions {
  readonly text: string;
  /** What messages call the file. */
  readonly fileName: string;
  /** Column with the rows' time, ISO 8601 or seconds since 1970. */
  readonly timeColumn: string;
  /** Column that is 1 under attack, 0 without, and anything else where that is not known. */
  readonly labelColumn: string;
  /** Column whose change begins a new episode; where absent, only a gap in time does. */
  readonly episodeColumn?: string | undefined;
  /** Tag → column, for tags whose column is called otherwise. */
  readonly columns?: Readonly<Record<string, string>> | undefined;
  /** Where absent every other column is a tag: a status if it holds only 0 and 1, else analog with a hundredth of its range as resolution. */
  readonly tags?: readonly Tag[] | undefined;
}

interface Parsed {
  readonly tags: readonly Tag[];
  readonly intervalMs: number;
  readonly episodes: readonly TwinEpisode[];
}

/** The twin as a file of rows that some other simulator wrote. It holds so many episodes and no more; a request for more gets what there is. */
export class CsvTwin implements TwinSource {
  readonly tags: readonly Tag[];
  readonly intervalMs: number;
  readonly #episodes: readonly TwinEpisode[];

  private constructor({ tags, intervalMs, episodes }: Parsed) {
    this.tags = tags;
    this.intervalMs = intervalMs;
    this.#episodes = episodes;
  }

  /** @throws TwinwatchError TWIN_CSV_INVALID naming missing columns, and lines whose time or values cannot be read. */
  static open(options: CsvTwinOptions): CsvTwin {
    return new CsvTwin(parseRows(options));
  }

  /** Cuts the file's episodes to `hoursPerEpisode` each, and takes as many with and without attacks as the share asks for, as far as there are. */
  async generate(
    request: TwinRequest,
    onProgress: (progress: TwinProgress) => void,
    signal?: AbortSignal,
  ): Promise<TwinRows> {
    signal?.throwIfAborted();
    const rowsPerEpisode = Math.max(1, Math.round((request.hoursPerEpisode * HOUR_MS) / this.intervalMs));
    const pieces = this.#episodes.flatMap((episode) => cut(episode, rowsPerEpisode));
    const attacked = pieces.filter(({ labels }) => labels.includes(1));
    const normal = pieces.filter(({ labels }) => !labels.includes(1));
    const first = request.firstEpisode ?? 0;
    const episodes: TwinEpisode[] = [];
    for (let index = 0; index < first + request.episodes; index++) {
      const taken = isAttacked(request.attackShare, index)
        ? (attacked.shift() ?? normal.shift())
        : (normal.shift() ?? attacked.shift());
      if (taken === undefined) break;
      if (index >= first) episodes.push(taken);
    }
    onProgress({ episodesDone: episodes.length, episodes: episodes.length });
    return { tags: this.tags, intervalMs: this.intervalMs, episodes, warnings: new Map() };
  }
}

function cut({ rows, labels, excluded, attackNames }: TwinEpisode, length: number): TwinEpisode[] {
  const pieces: TwinEpisode[] = [];
  for (let from = 0; from < rows.length; from += length) {
    const to = from + length;
    pieces.push({
      rows: rows.slice(from, to),
      labels: labels.slice(from, to),
      excluded: excluded.slice(from, to),
      attackNames: attackNames.slice(from, to),
    });
  }
  return pieces;
}

type NamedColumns = Pick<CsvTwinOptions, 'timeColumn' | 'labelColumn' | 'episodeColumn'>;

const isTag =
  ({ timeColumn, labelColumn, episodeColumn }: NamedColumns) =>
  (column: string): boolean =>
    column !== timeColumn && column !== labelColumn && column !== episodeColumn;

/** The tags of a file that names none, from its line of column names alone; none where that cannot be read. */
export function csvTagNames(text: string, columns: NamedColumns): string[] {
  try {
    const [header = []] = parse(text, { bom: true, trim: true, skip_empty_lines: true, to: 1 }) as string[][];
    return header.filter(isTag(columns));
  } catch {
    return [];
  }
}

function parseRows(options: CsvTwinOptions): Parsed {
  const { fileName, timeColumn, labelColumn, episodeColumn } = options;
  const invalid = (message: string) =>
    new TwinwatchError('TWIN_CSV_INVALID', `${fileName}: ${message}`, { context: { file: fileName } });
  let records: string[][];
  try {
    records = parse(options.text, { bom: true, trim: true, skip_empty_lines: true, relax_column_count: false });
  } catch (error) {
    throw invalid(`is not a CSV file: ${(error as Error).message}`);
  }
  const [header = [], ...lines] = records;
  const special = [timeColumn, labelColumn, ...(episodeColumn === undefined ? [] : [episodeColumn])];
  const names = options.tags?.map(({ name }) => name) ?? header.filter(isTag(options));
  const columnOf = (tag: string) => options.columns?.[tag] ?? tag;
  const missing = [...special, ...names.map(columnOf)].filter((column) => !header.includes(column));
  if (missing.length > 0)
    throw invalid(
      `has no column ${missing.join(', ')}; its columns are ${header.join(', ')}. Add them, or map tags to columns`,
    );
  if (lines.length < 2) throw invalid(`has ${lines.length} rows; at least 2 are needed to know the interval`);

  const at = (column: string) => header.indexOf(column);
  const columns = names.map((tag) => at(columnOf(tag)));
  const problems: string[] = [];
  const rows = lines.map((line, i): Row => {
    const timeMs = parseTime(line[at(timeColumn)]!);
    if (Number.isNaN(timeMs))
      problems.push(`line ${i + 2}: '${line[at(timeColumn)]}' is no time; write ISO 8601 or seconds since 1970`);
    const values = Float64Array.from(columns, (column, k) => {
      const text = line[column]!;
      const value = text === '' || text.toLowerCase() === 'nan' ? Number.NaN : Number(text);
      if (Number.isNaN(value) && text !== '' && text.toLowerCase() !== 'nan')
        problems.push(`line ${i + 2}: '${text}' in ${columnOf(names[k]!)} is no number`);
      return value;
    });
    return { timeMs, sequence: i, values };
  });
  if (problems.length > 0) {
    const more = problems.length - PROBLEMS_SHOWN;
    throw invalid([...problems.slice(0, PROBLEMS_SHOWN), ...(more > 0 ? [`and ${more} more`] : [])].join('\n  '));
  }
  const intervalMs = medianStep(rows);
  if (!(intervalMs > 0)) throw invalid('its times do not go forward; sort the rows by time within each episode');
  const labels = lines.map((line) => Number(line[at(labelColumn)] || Number.NaN));
  const groups = lines.map((line) => (episodeColumn === undefined ? '' : line[at(episodeColumn)]!));
  return {
    tags: options.tags ?? inferTags(names, rows),
    intervalMs,
    episodes: split(rows, labels, groups, intervalMs),
  };
}

function parseTime(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1_000;
  if (!/^\d{4}-\d{2}-\d{2}/.test(text)) return Number.NaN;
  // A time without a zone is UTC here, so that a file reads the same everywhere.
  const iso = text.replace(' ', 'T');
  return Date.parse(/(Z|[+-]\d{2}:?\d{2})$/.test(iso) || !iso.includes('T') ? iso : `${iso}Z`);
}

function medianStep(rows: readonly Row[]): number {
  const steps = rows.slice(1).map(({ timeMs }, i) => timeMs - rows[i]!.timeMs);
  return steps.sort((a, b) => a - b)[Math.floor(steps.length / 2)]!;
}

function inferTags(names: readonly string[], rows: readonly Row[]): Tag[] {
  return names.map((name, i) => {
    const values = rows.map(({ values }) => values[i]!).filter((value) => !Number.isNaN(value));
    if (values.every((value) => value === 0 || value === 1)) return { name, unit: '', kind: 'status', resolution: 1 };
    const low = values.reduce((a, b) => Math.min(a, b));
    const high = values.reduce((a, b) => Math.max(a, b));
    return {
      name,
      unit: '',
      kind: 'analog',
      resolution: high > low ? (high - low) / 100 : Math.max(1e-6, Math.abs(high) / 100),
    };
  });
}

function split(
  rows: readonly Row[],
  labels: readonly number[],
  groups: readonly string[],
  intervalMs: number,
): TwinEpisode[] {
  const episodes: TwinEpisode[] = [];
  let from = 0;
  for (let i = 1; i <= rows.length; i++) {
    const stepMs = i < rows.length ? rows[i]!.timeMs - rows[i - 1]!.timeMs : Number.POSITIVE_INFINITY;
    if (stepMs > 0 && stepMs <= LARGEST_STEP * intervalMs && groups[i] === groups[i - 1]) continue;
    const part = labels.slice(from, i);
    episodes.push({
      rows: rows.slice(from, i),
      labels: Uint8Array.from(part, (label) => (label === 1 ? 1 : 0)),
      excluded: Uint8Array.from(part, (label) => (label === 0 || label === 1 ? 0 : 1)),
      attackNames: part.map((label) => (label === 1 ? 'labelled' : null)),
    });
    from = i;
  }
  return episodes;
}
