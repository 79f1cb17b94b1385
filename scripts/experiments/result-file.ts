import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

/** What an experiment has found so far, as JSON: for whoever wants more than its table, and for a run that was interrupted. */
export class ResultFile<R extends { readonly seed: number }> {
  readonly #file: string | null;
  readonly #options: string;
  #results: R[] = [];

  /** `path` undefined for results that are not kept. */
  constructor(path: string | undefined, options: object) {
    this.#file = path === undefined ? null : resolve(path);
    this.#options = JSON.stringify(options);
  }

  get results(): readonly R[] {
    return this.#results;
  }

  /** Takes the seeds that an earlier run with the same options completed; a file of other options is left to be overwritten. */
  async goOn(): Promise<void> {
    if (this.#file === null) return;
    const text = await readFile(this.#file, 'utf8').catch(() => null);
    if (text === null) return;
    const { options, results } = JSON.parse(text) as { options: object; results: R[] };
    if (JSON.stringify(options) === this.#options) this.#results = results;
  }

  has(seed: number): boolean {
    return this.#results.some((result) => result.seed === seed);
  }

  /** All results of one seed. */
  async add(results: readonly R[]): Promise<void> {
    this.#results.push(...results);
    if (this.#file === null) return;
    await mkdir(dirname(this.#file), { recursive: true });
    const text = JSON.stringify({ options: JSON.parse(this.#options), results: this.#results }, null, 1);
    await writeFile(`${this.#file}.part`, `${text}\n`);
    await rename(`${this.#file}.part`, this.#file);
  }
}
