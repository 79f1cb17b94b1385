import { type Moments, scaleRows } from '@twinwatch/core/features/moments';
import type { Dataset, TrainingEngine } from '@twinwatch/core/learning/engine';
import { layers } from '@twinwatch/core/learning/network';
import { fitLocally, localLesson, scoreHistogram } from '@twinwatch/core/training/local-round';
import { decodeLineage } from '@twinwatch/core/wire/blobs';
import { afterVerdict, encodeWithFeedback, type Feedback, owedIn } from '@twinwatch/core/wire/error-feedback';
import { decodeExchangeRows } from '@twinwatch/core/wire/exchange-rows';
import type { EvaluateTask, FitTask, Lineage, Receipt, Update } from '@twinwatch/core/wire/messages';
import type { ClientExamples } from './client-examples.js';

/** @param delta [parameters], what was learned. @returns what is sent instead. */
export type Tamper = (agent: string, delta: Float32Array, round: number) => Float32Array;

/** What a client scales its rows with, and mixes into them. */
interface Frozen {
  readonly hash: string;
  readonly lineage: Lineage;
  readonly own: Dataset;
  readonly holdout: Float32Array;
  readonly exchange: Dataset | null;
}

interface AnswerWith {
  readonly base: Float32Array;
  /** Bytes by hash. */
  readonly blob: (hash: string) => Uint8Array;
  readonly engine: TrainingEngine;
  readonly signal?: AbortSignal | undefined;
}

/** A client of a federation within one process; it does with its rows what an agent does. */
export class InProcessClient {
  readonly #examples: ClientExamples;
  #frozen: Frozen | null = null;
  #feedback: Feedback | null = null;
  /** What will be owed once the last update counts. */
  #sent: Feedback | null = null;
  readonly #tamper: Tamper | null;

  constructor(examples: ClientExamples, tamper: Tamper | null = null) {
    this.#examples = examples;
    this.#tamper = tamper;
  }

  /** For calibration. */
  get moments(): Moments {
    return this.#examples.moments;
  }

  /** Rows it can train on. */
  get trainingRows(): number {
    return this.#examples.training.length;
  }

  async answer(task: FitTask | EvaluateTask, using: AnswerWith): Promise<Update> {
    const { base, engine, signal } = using;
    const { own, holdout, exchange, lineage } = this.#freeze(task.lineage.hash, using.blob);
    const { architecture } = lineage;
    const { round, attempt } = task;
    const about = { kind: 'update', round, attempt, baseHash: task.parameters.hash } as const;
    if (task.kind === 'evaluate') {
      const scores = await scoreHistogram(engine, architecture, base, holdout);
      return {
        ...about,
        layerMask: null,
        codec: 'f32',
        delta: new Uint8Array(),
        rows: own.labels.length,
        loss: 0,
        trainingMs: 0,
        scores,
      };
    }
    const { distillation } = task;
    const lesson =
      distillation === undefined
        ? null
        : localLesson(distillation, using.blob(distillation.teacher.hash), this.#assumed(), architecture);
    const fitted = await fitLocally(engine, { ...task, architecture, base, own, exchange, lesson }, signal);
    const delta = this.#tamper?.(this.#examples.id, fitted.delta, round) ?? fitted.delta;
    const lineageHash = task.lineage.hash;
    const before = owedIn(this.#feedback, lineageHash, round);
    const { bytes, residual } = encodeWithFeedback(delta, before, layers(architecture), task);
    this.#sent = { lineageHash, round, before, after: residual };
    const { rows, loss } = fitted;
    const { codec, layerMask } = task;
    return { ...about, layerMask, codec, delta: bytes, rows, loss, trainingMs: 0, scores: null };
  }

  onReceipt(receipt: Receipt): void {
    if (receipt.kind !== 'update-receipt' || this.#sent?.round !== receipt.round) return;
    this.#feedback = afterVerdict(this.#feedback, this.#sent, receipt.verdict);
    this.#sent = null;
  }

  #assumed(): Uint8Array {
    const { training, assumed } = this.#examples;
    return Uint8Array.from(training, (i) => assumed?.[i] ?? 0);
  }

  #freeze(hash: string, blob: (hash: string) => Uint8Array): Frozen {
    if (this.#frozen?.hash === hash) return this.#frozen;
    const lineage = decodeLineage(blob(hash));
    const { features, labels, weights, training, inputs } = this.#examples;
    const scaled = scaleRows(features, lineage.scaler, inputs);
    const gather = (places: readonly number[]) => {
      const gathered = new Float32Array(places.length * inputs);
      for (const [at, i] of places.entries()) {
        gathered.set(scaled.subarray(i * inputs, (i + 1) * inputs), at * inputs);
      }
      return gathered;
    };
    const own = {
      features: gather(training),
      labels: Float32Array.from(training, (i) => labels[i]!),
      ...(weights === null ? {} : { weights: Float32Array.from(training, (i) => weights[i]!) }),
    };
    const holdout = gather(this.#examples.holdout);
    const exchange = lineage.exchange === null ? null : decodeExchangeRows(blob(lineage.exchange.hash), inputs);
    this.#frozen = { hash, lineage, own, holdout, exchange };
    return this.#frozen;
  }
}
