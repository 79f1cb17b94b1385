import { extractAll, inputCount } from '@twinwatch/core/features/extractor';
import { Moments, scaleRows } from '@twinwatch/core/features/moments';
import type { FeatureSchema } from '@twinwatch/core/features/spec';
import type { Dataset, TrainingEngine } from '@twinwatch/core/learning/engine';
import { layers } from '@twinwatch/core/learning/network';
import type { Row } from '@twinwatch/core/scada/sample';
import { fitLocally, scoreHistogram } from '@twinwatch/core/training/local-round';
import { decodeLineage } from '@twinwatch/core/wire/blobs';
import { decodeExchangeRows } from '@twinwatch/core/wire/exchange-rows';
import type { EvaluateTask, FitTask, Lineage, Receipt, Update } from '@twinwatch/core/wire/messages';
import { encodeDelta } from '@twinwatch/core/wire/parameter-codec';

export interface ClientRows {
  readonly id: string;
  /** In the order of time; all of them may be trained on. */
  readonly rows: readonly Row[];
  /** [rows], 1 under attack; every row counts as normal where absent. */
  readonly labels?: ArrayLike<number>;
  /** Which rows are learned from, as an agent's rules choose them; all but the newest fifth where absent. */
  readonly choice?: RowChoice;
}

/** Indices of rows, oldest first. */
export interface RowChoice {
  readonly training: Iterable<number>;
  /** Normal rows that are scored and never trained on. */
  readonly holdout: Iterable<number>;
  /** [rows], what a row counts for in a fit. */
  readonly weights: ArrayLike<number>;
}

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

/** The newest fifth of a client's normal rows is scored and never trained on, as on an agent. */
const HOLDOUT_SHARE = 0.2;

/** A client of a federation within one process; it does with its rows what an agent does. */
export class InProcessClient {
  readonly #features: Float32Array;
  readonly #labels: Float32Array;
  readonly #weights: Float32Array | null;
  readonly #inputs: number;
  /** Of the normal training rows, for calibration. */
  readonly moments: Moments;
  /** Places in features and labels. */
  readonly #training: readonly number[];
  readonly #holdout: readonly number[];
  #frozen: Frozen | null = null;
  #residual: { readonly round: number; readonly before: Float32Array; readonly after: Float32Array } | null = null;

  constructor(schema: FeatureSchema, { rows, labels, choice }: ClientRows) {
    const inputs = inputCount(schema);
    const { features, rowIndex, count } = extractAll(schema, rows);
    this.#features = features;
    this.#inputs = inputs;
    this.#labels = Float32Array.from(rowIndex, (row) => labels?.[row] ?? 0);
    this.#weights = choice === undefined ? null : Float32Array.from(rowIndex, (row) => choice.weights[row] ?? 1);
    const places = [...this.#labels.keys()];
    const trained = count - Math.floor(count * HOLDOUT_SHARE);
    const chosen = (indices: Iterable<number>) => {
      const wanted = new Set(indices);
      return places.filter((i) => wanted.has(rowIndex[i]!));
    };
    this.#training = choice === undefined ? places.slice(0, trained) : chosen(choice.training);
    this.#holdout =
      choice === undefined ? places.slice(trained).filter((i) => this.#labels[i] === 0) : chosen(choice.holdout);
    this.moments = new Moments(inputs);
    for (const i of this.#training) if (this.#labels[i] === 0) this.moments.add(this.#row(this.#features, i));
  }

  /** Rows it can train on. */
  get trainingRows(): number {
    return this.#training.length;
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
    const fitted = await fitLocally(engine, { ...task, architecture, base, own, holdout, exchange }, signal);
    const before = this.#residual?.after ?? new Float32Array(base.length);
    const owed = fitted.delta.map((value, i) => value + before[i]!);
    const { bytes, residual } = encodeDelta(owed, layers(architecture), task.codec, task.layerMask);
    this.#residual = { round, before, after: residual };
    const { rows, loss, scores } = fitted;
    return { ...about, layerMask: task.layerMask, codec: task.codec, delta: bytes, rows, loss, trainingMs: 0, scores };
  }

  /** What the encoding left out is owed only once the update counted. */
  onReceipt(receipt: Receipt): void {
    if (receipt.kind !== 'update-receipt' || receipt.verdict === 'accepted' || receipt.verdict === 'duplicate') return;
    if (this.#residual?.round === receipt.round) this.#residual = { ...this.#residual, after: this.#residual.before };
  }

  #freeze(hash: string, blob: (hash: string) => Uint8Array): Frozen {
    if (this.#frozen?.hash === hash) return this.#frozen;
    const lineage = decodeLineage(blob(hash));
    const inputs = this.#inputs;
    const scaled = scaleRows(this.#features, lineage.scaler, inputs);
    const gather = (places: readonly number[]) => {
      const gathered = new Float32Array(places.length * inputs);
      for (const [at, i] of places.entries()) gathered.set(this.#row(scaled, i), at * inputs);
      return gathered;
    };
    const weights = this.#weights;
    const own = {
      features: gather(this.#training),
      labels: Float32Array.from(this.#training, (i) => this.#labels[i]!),
      ...(weights === null ? {} : { weights: Float32Array.from(this.#training, (i) => weights[i]!) }),
    };
    const holdout = gather(this.#holdout);
    const exchange = lineage.exchange === null ? null : decodeExchangeRows(blob(lineage.exchange.hash), inputs);
    this.#frozen = { hash, lineage, own, holdout, exchange };
    return this.#frozen;
  }

  #row(features: Float32Array, i: number): Float32Array {
    return features.subarray(i * this.#inputs, (i + 1) * this.#inputs);
  }
}
