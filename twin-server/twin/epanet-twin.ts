import { Worker } from 'node:worker_threads';
import { type ErrorCode, TwinwatchError } from '@twinwatch/core/errors';
import type { ControlRule } from '@twinwatch/core/features/spec';
import type { Tag } from '@twinwatch/core/scada/tag';
import type { EpisodeRows } from './episode.js';
import { controlRules, type LoadedPlant, plantTags } from './plant-config.js';
import type { TwinEpisode, TwinProgress, TwinRequest, TwinRows, TwinSource } from './twin-source.js';

/** What a thread is given. */
export interface TwinWork {
  readonly plant: LoadedPlant;
  readonly request: TwinRequest;
  readonly indices: readonly number[];
}

/** What it answers. */
export type FromTwinWorker =
  | { readonly kind: 'episode'; readonly index: number; readonly rows: EpisodeRows }
  | { readonly kind: 'done' }
  | {
      readonly kind: 'failed';
      readonly code: ErrorCode;
      readonly message: string;
      readonly context: Readonly<Record<string, unknown>>;
    };

/** The twin as EPANET network with PLCs and attacks, simulated in threads of its own so that the caller's never waits. */
export class EpanetTwin implements TwinSource {
  readonly tags: readonly Tag[];
  readonly intervalMs: number;
  readonly rules: readonly ControlRule[];
  readonly #plant: LoadedPlant;
  readonly #threads: number;

  constructor(options: { readonly plant: LoadedPlant; readonly threads?: number | undefined }) {
    this.#plant = options.plant;
    this.#threads = options.threads ?? 1;
    this.tags = plantTags(options.plant.config);
    this.intervalMs = options.plant.config.interval;
    this.rules = controlRules(options.plant.config);
  }

  async generate(
    request: TwinRequest,
    onProgress: (progress: TwinProgress) => void,
    signal?: AbortSignal,
  ): Promise<TwinRows> {
    signal?.throwIfAborted();
    const first = request.firstEpisode ?? 0;
    const threads = Math.max(1, Math.min(this.#threads, request.episodes));
    const done = new Map<number, EpisodeRows>();
    const failing = new AbortController();
    const stop = signal === undefined ? failing.signal : AbortSignal.any([signal, failing.signal]);
    const shares = Array.from({ length: threads }, (_, thread) =>
      Array.from({ length: request.episodes }, (_, i) => first + i).filter((index) => index % threads === thread),
    );
    const runs = shares.map((indices) =>
      simulate({ plant: this.#plant, request, indices }, stop, (index, rows) => {
        done.set(index, rows);
        onProgress({ episodesDone: done.size, episodes: request.episodes });
      }),
    );
    try {
      await Promise.all(runs);
    } catch (error) {
      failing.abort(error);
      await Promise.allSettled(runs);
      throw error;
    }
    const inOrder = [...done].sort(([a], [b]) => a - b).map(([, rows]) => rows);
    const warnings = new Map<string, number>();
    for (const rows of inOrder)
      for (const [words, count] of rows.warnings) warnings.set(words, (warnings.get(words) ?? 0) + count);
    return {
      tags: this.tags,
      intervalMs: this.intervalMs,
      rules: this.rules,
      episodes: inOrder.map((rows) => toEpisode(rows, this.tags.length)),
      warnings,
    };
  }
}

/** One thread from its start to its end; gone when the promise has settled. */
function simulate(
  work: TwinWork,
  signal: AbortSignal,
  onEpisode: (index: number, rows: EpisodeRows) => void,
): Promise<void> {
  const worker = new Worker(new URL('./twin-worker.js', import.meta.url), { workerData: work });
  const outcome = new Promise<void>((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    worker.on('message', (message: FromTwinWorker) => {
      if (message.kind === 'episode') onEpisode(message.index, message.rows);
      else if (message.kind === 'done') resolve();
      else reject(new TwinwatchError(message.code, message.message, { context: message.context }));
    });
    worker.on('error', (cause) =>
      reject(new TwinwatchError('TWIN_WORKER_FAILED', `the twin's thread failed: ${cause.message}`, { cause })),
    );
    worker.on('exit', (code) =>
      reject(new TwinwatchError('TWIN_WORKER_FAILED', `the twin's thread ended early with exit code ${code}`)),
    );
  });
  return outcome.finally(() => worker.terminate());
}

function toEpisode({ values, timesMs, labels, excluded, attackNames }: EpisodeRows, tags: number): TwinEpisode {
  const rows = Array.from(timesMs, (timeMs, i) => ({
    timeMs,
    sequence: i,
    values: values.subarray(i * tags, (i + 1) * tags),
  }));
  return { rows, labels, excluded, attackNames };
}
