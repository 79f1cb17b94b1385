import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { RunResult } from './run-once.js';

/** Finished runs, one JSON object a line. Lines are only ever added, so that whatever ends the process costs the run it was at and no other. */
export class ResultLines {
  readonly #path: string;
  readonly #results: Map<string, RunResult>;
  #writing: Promise<void> = Promise.resolve();

  private constructor(path: string, results: Map<string, RunResult>) {
    this.#path = path;
    this.#results = results;
  }

  /** Reads what is there. A last line that broke off is cut away: its run is done again. */
  static async open(path: string): Promise<ResultLines> {
    await mkdir(dirname(path), { recursive: true });
    const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '';
      throw error;
    });
    const results = parseResults(text);
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    if (whole !== text) await writeFile(path, whole);
    return new ResultLines(path, results);
  }

  has(id: string): boolean {
    return this.#results.has(id);
  }

  get(id: string): RunResult | undefined {
    return this.#results.get(id);
  }

  /** Resolves once the line is in the file. */
  add(result: RunResult): Promise<void> {
    this.#results.set(result.run.id, result);
    this.#writing = this.#writing.then(() => appendFile(this.#path, `${JSON.stringify(result)}\n`));
    return this.#writing;
  }
}

/** By run id; lines that are no JSON are left out. */
export function parseResults(text: string): Map<string, RunResult> {
  const results = new Map<string, RunResult>();
  for (const line of text.slice(0, text.lastIndexOf('\n') + 1).split('\n')) {
    if (line === '') continue;
    try {
      const result = JSON.parse(line) as RunResult;
      results.set(result.run.id, result);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  }
  return results;
}
