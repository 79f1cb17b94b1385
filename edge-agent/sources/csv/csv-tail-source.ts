import { open, stat } from 'node:fs/promises';
import type { CsvTailConfig } from '@twinwatch/core/config/sources';
import { parseTime } from '@twinwatch/core/scada/dates';
import { parse } from 'csv-parse/sync';
import type { Source, SourceSink } from '../source.js';
import { type SourceRuntime, tellBoard } from '../source-runtime.js';
import { TagBoard } from '../tag-board.js';

const LOOK_MS = 500;
/** Read at once at most; of what was added beyond it meanwhile only the newest is of interest. */
const LONGEST_READ = 1024 * 1024;
const HEADER_BYTES = 64 * 1024;

interface Position {
  /** Of the file, so that another one under its name is noticed. */
  readonly inode: number;
  readonly offset: number;
}

/** Lines that another program adds to a file. Those that are there at the start are history: import them instead. */
export class CsvTailSource implements Source {
  readonly name: string;
  readonly devices: readonly string[];
  readonly #config: CsvTailConfig;
  readonly #file: string;
  readonly #runtime: SourceRuntime;
  readonly #board: TagBoard;
  #position: Position | null = null;
  #header: readonly string[] = [];
  #trouble: string | null = null;
  /** Why the newest line could not be read. */
  #unreadable: string | null = null;

  /** @param file path of config.file. */
  constructor(config: CsvTailConfig, file: string, runtime: SourceRuntime) {
    this.name = file;
    this.devices = [config.name];
    this.#config = config;
    this.#file = file;
    this.#runtime = runtime;
    this.#board = new TagBoard(config.name, config.tags, config.staleAfter, runtime.clock);
  }

  async start(signal: AbortSignal, sink: SourceSink): Promise<void> {
    await Promise.all([
      this.#look(signal),
      tellBoard(this.#config.name, this.#board, () => this.#trouble ?? this.#unreadable, this.#runtime, signal, sink),
    ]);
  }

  async #look(signal: AbortSignal): Promise<void> {
    for (let isFirst = true; !signal.aborted; isFirst = false) {
      try {
        await this.#read(isFirst);
        this.#trouble = null;
      } catch (error) {
        this.#trouble = `${this.#file} cannot be read: ${(error as Error).message}`;
      }
      await this.#runtime.timers.sleep('csv-look', LOOK_MS, signal).catch(() => undefined);
    }
  }

  async #read(isFirst: boolean): Promise<void> {
    const { size, ino: inode } = await stat(this.#file);
    const before = this.#position;
    const handle = await open(this.#file, 'r');
    try {
      const isNew =
        before === null || before.inode !== inode || size < before.offset || !(await endsLine(handle, before.offset));
      if (isNew) {
        const head = await readPart(handle, 0, Math.min(size, HEADER_BYTES));
        const end = head.indexOf('\n');
        if (end < 0) return;
        this.#header = this.#record(
          head
            .subarray(0, end)
            .toString('utf8')
            .replace(/^\uFEFF/, ''),
        ).map((name) => name.trim());
        this.#position = { inode, offset: isFirst ? await lastLineEnd(handle, size, end + 1) : end + 1 };
      }
      const { offset } = this.#position!;
      const from = Math.max(offset, size - LONGEST_READ);
      if (size <= from) return;
      const bytes = await readPart(handle, from, size - from);
      const end = bytes.lastIndexOf('\n');
      // A line that is being written is read once it ends.
      if (end < 0) return;
      // Where older lines are passed over, the first may be half of one.
      const begin = from > offset ? bytes.indexOf('\n') + 1 : 0;
      for (const line of bytes.subarray(begin, end).toString('utf8').split('\n')) this.#take(line);
      this.#position = { inode, offset: from + end + 1 };
    } finally {
      await handle.close();
    }
  }

  #take(line: string): void {
    if (line.trim() === '') return;
    let cells: string[];
    try {
      cells = this.#record(line);
      this.#unreadable = null;
    } catch (error) {
      this.#unreadable = `a line of ${this.#file} cannot be read: ${(error as Error).message}`;
      return;
    }
    const { timeColumn, tags } = this.#config;
    const timeText = timeColumn === undefined ? undefined : cells[this.#header.indexOf(timeColumn)];
    const timeMs = timeText === undefined ? null : parseTime(timeText, 'ymd');
    if (timeColumn !== undefined && timeMs === null) return;
    for (const { name, column } of tags) {
      const cell = cells[this.#header.indexOf(column)];
      this.#board.put(name, cell === undefined || cell.trim() === '' ? Number.NaN : cell, timeMs);
    }
  }

  #record(line: string): string[] {
    const options = { delimiter: this.#config.delimiter, relax_column_count: true, relax_quotes: true };
    return (parse(line, options) as string[][])[0] ?? [];
  }
}

type Handle = Awaited<ReturnType<typeof open>>;

async function readPart(handle: Handle, from: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, from);
  return buffer.subarray(0, bytesRead);
}

/** Whether a line ends before `offset`; if not, what was read up to there was another file. */
async function endsLine(handle: Handle, offset: number): Promise<boolean> {
  return (await readPart(handle, offset - 1, 1))[0] === 0x0a;
}

/** Behind the last whole line, so that one half written at the start is read when it is whole. */
async function lastLineEnd(handle: Handle, size: number, least: number): Promise<number> {
  const from = Math.max(least, size - HEADER_BYTES);
  const end = (await readPart(handle, from, size - from)).lastIndexOf('\n');
  return end < 0 ? from : from + end + 1;
}
