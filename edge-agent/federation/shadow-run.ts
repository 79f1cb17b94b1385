import { FeatureExtractor } from '@twinwatch/core/features/extractor';
import type { Logger } from '@twinwatch/core/runtime';
import type { Row } from '@twinwatch/core/scada/sample';
import type { ModelReport } from '@twinwatch/core/wire/messages';
import type { DetectionPipeline } from '../detection/detection-pipeline.js';
import type { Detector } from '../detection/detector.js';
import { ANOMALOUS } from '../store/row-table.js';
import type { Store } from '../store/store.js';

export type ShadowNumbers = Pick<ModelReport, 'rows' | 'above' | 'currentAbove' | 'errors'>;

export interface ShadowRunOptions {
  readonly store: Store;
  readonly pipeline: Pick<DetectionPipeline, 'observe'>;
  /** Both are the run's own, and closed with it. */
  readonly candidate: Detector;
  readonly current: Detector;
  /** Rows to be counted on; stored ones first where `past` is true, then live ones as they come. */
  readonly rows: number;
  readonly past: boolean;
  readonly log: Logger;
  readonly onNumbers: (numbers: ShadowNumbers) => void;
}

/** Live rows that wait for their scores; more are left out. */
const LONGEST_QUEUE = 256;
/** Live rows after which numbers are told again, as a share of `rows`. */
const TOLD_SHARE = 0.2;

interface Judge {
  readonly detector: Detector;
  readonly extractor: FeatureExtractor;
  readonly names: readonly string[];
}

/** Two models on the same rows, beside what runs, and without a say in alarms. */
export class ShadowRun {
  readonly #options: ShadowRunOptions;
  readonly #judges: readonly [Judge, Judge];
  #numbers: ShadowNumbers = { rows: 0, above: 0, currentAbove: 0, errors: 0 };
  #turn: Promise<void> = Promise.resolve();
  #waiting = 0;
  #toldAt = 0;
  #isOver = false;

  constructor(options: ShadowRunOptions) {
    this.#options = options;
    this.#judges = [judge(options.candidate), judge(options.current)];
  }

  /** Until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { pipeline, log } = this.#options;
    const ignore = pipeline.observe((row, tags) => this.#live(row, tags));
    try {
      await this.#inTurn(() => this.#past(signal));
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    } catch (error) {
      log.error({ error: String(error) }, 'the new model could not be tried beside the current one');
    } finally {
      this.#isOver = true;
      ignore();
      await this.#turn;
      for (const { detector } of this.#judges) await detector.close();
    }
  }

  async #past(signal: AbortSignal): Promise<void> {
    const { store, rows, past } = this.#options;
    const names = [...new Set(this.#judges.flatMap((one) => one.names))];
    const stored = await store.call('rows', names, past ? rows + WARM_UP_ROWS : WARM_UP_ROWS);
    for (let i = 0; i < stored.count && !signal.aborted; i++) {
      const values = stored.values.subarray(i * names.length, (i + 1) * names.length);
      const isCounted = past && i >= stored.count - rows && stored.labels[i] !== ANOMALOUS;
      await this.#judge(stored.timesMs[i]!, (tag) => values[names.indexOf(tag)], isCounted);
    }
    if (past) this.#tell();
  }

  #live(row: Row, tags: readonly string[]): void {
    if (this.#isOver || this.#waiting >= LONGEST_QUEUE) return;
    this.#waiting++;
    void this.#inTurn(async () => {
      this.#waiting--;
      if (this.#isOver) return;
      await this.#judge(row.timeMs, (tag) => row.values[tags.indexOf(tag)], true);
      const { rows } = this.#options;
      const every = Math.max(1, Math.round(rows * TOLD_SHARE));
      if (this.#numbers.rows >= this.#toldAt + every || (this.#numbers.rows >= rows && this.#toldAt < rows))
        this.#tell();
    });
  }

  async #judge(timeMs: number, value: (tag: string) => number | undefined, isCounted: boolean): Promise<void> {
    const [candidate, current] = this.#judges.map(({ extractor, names }) =>
      extractor.push({ timeMs, values: Float64Array.from(names, (tag) => value(tag) ?? Number.NaN) }),
    );
    if (!isCounted || candidate === null || candidate === undefined || current === null || current === undefined)
      return;
    const score = async ({ detector }: Judge, features: Float32Array) =>
      (await detector.score(features)) >= detector.metadata.threshold;
    const { rows, above, currentAbove, errors } = this.#numbers;
    const isCurrentAbove = await score(this.#judges[1], current);
    const isAbove = await score(this.#judges[0], candidate).catch(() => null);
    this.#numbers = {
      rows: rows + 1,
      above: above + (isAbove === true ? 1 : 0),
      currentAbove: currentAbove + (isCurrentAbove ? 1 : 0),
      errors: errors + (isAbove === null ? 1 : 0),
    };
  }

  #tell(): void {
    this.#toldAt = this.#numbers.rows;
    this.#options.onNumbers(this.#numbers);
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch((error: unknown) => {
      this.#options.log.warn({ error: String(error) }, 'a row could not be tried with the new model');
    });
    return this.#turn;
  }
}

/** Rows that fill windows before the first one counts. */
const WARM_UP_ROWS = 128;

function judge(detector: Detector): Judge {
  const { schema } = detector.metadata;
  return { detector, extractor: new FeatureExtractor(schema), names: schema.tags.map(({ name }) => name) };
}
