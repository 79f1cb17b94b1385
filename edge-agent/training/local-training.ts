import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SiteProfile } from '@twinwatch/core/calibration/profile';
import { FeatureExtractor, inputCount } from '@twinwatch/core/features/extractor';
import { Moments, scaleRows } from '@twinwatch/core/features/moments';
import type { FeatureSchema } from '@twinwatch/core/features/spec';
import type { Dataset, TrainingEngine } from '@twinwatch/core/learning/engine';
import { layers, parameterCount } from '@twinwatch/core/learning/network';
import { fitLocally, localLesson, scoreHistogram } from '@twinwatch/core/training/local-round';
import { decodeParameters } from '@twinwatch/core/wire/blobs';
import { encodeWithFeedback } from '@twinwatch/core/wire/error-feedback';
import { decodeExchangeRows } from '@twinwatch/core/wire/exchange-rows';
import type { Calibration, DataWindow, FitTask, Lineage, ScoreHistogram } from '@twinwatch/core/wire/messages';

import type { Store } from '../store/store.js';
import { type TrainingSet, trainingSet } from './training-set.js';

/** What an agent learns from its own rows, which never leave it: moments, an update, scores of held-back rows. */

const ROWS_PER_TURN = 500;

export interface TrainingLimits {
  /** Newest rows that are looked at. */
  readonly maximumRows: number;
  readonly quarantineMs: number;
  /** What a row that a person decided on counts for in a fit, against 1 for any other. */
  readonly labelWeight: number;
}

/** Features in engineering units of the rows that may be learned from. */
export interface OwnRows {
  /** [rows × inputs]; labels 0 or 1. */
  readonly training: Dataset;
  /** [training rows] 1 for rows that nobody has labelled. */
  readonly assumed: Uint8Array;
  /** [rows × inputs] of held-back normal rows. */
  readonly holdout: Float32Array;
  /** Of all normal rows, training and held back. */
  readonly moments: Moments;
  /** Source times of the oldest and the newest row to train on; absent where there is none. */
  readonly window?: DataWindow;
}

export interface LocalUpdate {
  readonly delta: Uint8Array;
  /** [parameters] what the codec left out of this update; owed once it counts. */
  readonly residual: Float32Array;
  readonly rows: number;
  readonly loss: number;
}

/** Counts for the hello, without reading any value. */
export async function countEligible(
  store: Store,
  limits: TrainingLimits,
): Promise<Pick<TrainingSet, 'eligible' | 'labelled'>> {
  const [alarms, labels, rows] = await Promise.all([
    store.call('alarms'),
    store.call('labels'),
    store.call('rows', [], limits.maximumRows),
  ]);
  return trainingSet(rows, { quarantineMs: limits.quarantineMs, alarms, labels });
}

export async function ownRows(store: Store, schema: FeatureSchema, limits: TrainingLimits): Promise<OwnRows> {
  const tags = schema.tags.map((tag) => tag.name);
  const [alarms, labels, rows] = await Promise.all([
    store.call('alarms'),
    store.call('labels'),
    store.call('rows', tags, limits.maximumRows),
  ]);
  const set = trainingSet(rows, { quarantineMs: limits.quarantineMs, alarms, labels });
  const inputs = inputCount(schema);
  const width = tags.length;
  // Features look back over rows that are not learned from, so all rows pass through.
  const extractor = new FeatureExtractor(schema);
  const features = new Float32Array(rows.count * inputs);
  const known = new Uint8Array(rows.count);
  for (let i = 0; i < rows.count; i++) {
    const row = { timeMs: rows.timesMs[i]!, values: rows.values.subarray(i * width, (i + 1) * width) };
    const computed = extractor.push(row);
    if (computed !== null) {
      features.set(computed, i * inputs);
      known[i] = 1;
    }
    // Polling and detection share this thread; they get their turn.
    if (i % ROWS_PER_TURN === 0) await nextTurn();
  }
  const chosen = (indices: Int32Array) => indices.filter((row) => known[row] === 1);
  const gather = (indices: Int32Array) => {
    const gathered = new Float32Array(indices.length * inputs);
    for (const [i, row] of indices.entries())
      gathered.set(features.subarray(row * inputs, (row + 1) * inputs), i * inputs);
    return gathered;
  };
  const trainingRows = chosen(set.training);
  const training = {
    features: gather(trainingRows),
    labels: Float32Array.from(trainingRows, (row) => set.verdicts[row]!),
    ...(trainingRows.some((row) => set.decided[row] === 1)
      ? { weights: Float32Array.from(trainingRows, (row) => (set.decided[row] === 1 ? limits.labelWeight : 1)) }
      : {}),
  };
  const holdout = gather(chosen(set.holdout));
  const moments = new Moments(inputs);
  moments.add(gather(trainingRows.filter((row) => set.verdicts[row] === 0)));
  moments.add(holdout);
  const assumed = Uint8Array.from(trainingRows, (row) => set.assumed[row]!);
  const [oldest, newest] = [trainingRows[0], trainingRows.at(-1)];
  const window =
    oldest === undefined || newest === undefined
      ? {}
      : { window: { fromMs: rows.timesMs[oldest]!, toMs: rows.timesMs[newest]! } };
  return { training, assumed, holdout, moments, ...window };
}

export function calibration(schemaHash: string, own: OwnRows, profile?: SiteProfile): Calibration {
  const { count, mean, m2 } = own.moments;
  const moments = { count, mean: [...mean], m2: [...m2] };
  return { kind: 'calibration', schemaHash, moments, ...(profile === undefined ? {} : { profile }) };
}

export interface FitMaterial {
  readonly lineage: Lineage;
  /** The base parameters' blob. */
  readonly parameters: Uint8Array;
  /** The lineage's exchange blob, or null. */
  readonly exchange: Uint8Array | null;
  /** The teacher's blob, or null. */
  readonly teacher: Uint8Array | null;
  readonly own: OwnRows;
  /** [parameters] what the codec left out of updates that counted, null for nothing. */
  readonly owed: Float32Array | null;
}

/** @throws TwinwatchError LEARNING_*, WIRE_* */
export async function fitTask(
  engine: TrainingEngine,
  task: FitTask,
  material: FitMaterial,
  signal: AbortSignal,
): Promise<LocalUpdate> {
  const { architecture, scaler } = material.lineage;
  const base = decodeParameters(material.parameters, parameterCount(architecture));
  const { training } = material.own;
  const { inputs } = architecture;
  const fitted = await fitLocally(
    engine,
    {
      architecture,
      base,
      own: { ...training, features: scaleRows(training.features, scaler, inputs) },
      exchange: material.exchange === null ? null : decodeExchangeRows(material.exchange, inputs),
      exchangeShare: task.exchangeShare,
      epochs: task.epochs,
      batchSize: task.batchSize,
      learningRate: task.learningRate,
      proximalMu: task.proximalMu,
      lesson:
        task.distillation === undefined || material.teacher === null
          ? null
          : localLesson(task.distillation, material.teacher, material.own.assumed, architecture),
      seed: task.seed,
    },
    signal,
  );
  const encoded = encodeWithFeedback(fitted.delta, material.owed, layers(architecture), task);
  return { delta: encoded.bytes, residual: encoded.residual, rows: fitted.rows, loss: fitted.loss };
}

/** Scores of parameters on the agent's held-back normal rows; nothing is trained. */
export function evaluate(engine: TrainingEngine, material: FitMaterial): Promise<ScoreHistogram> {
  const { architecture, scaler } = material.lineage;
  const parameters = decodeParameters(material.parameters, parameterCount(architecture));
  return scoreHistogram(engine, architecture, parameters, scaleRows(material.own.holdout, scaler, architecture.inputs));
}
