import type { Architecture, Dataset, Distillation, TrainingEngine } from '../learning/engine.js';
import { layers } from '../learning/network.js';
import { createRandom } from '../learning/random.js';
import type { ScoreHistogram, TeacherTask } from '../wire/messages.js';
import { decodeDelta } from '../wire/parameter-codec.js';

/** A client's part of a round, the same for an agent in the field and for a federation within one process. */

/** Bins of a ScoreHistogram: fine enough for a threshold, small enough to go up from every agent before a release. */
export const SCORE_BINS = 256;

export interface LocalFit {
  readonly architecture: Architecture;
  /** Starting parameters, as sent down. */
  readonly base: Float32Array;
  /** The client's own training rows, scaled. */
  readonly own: Dataset;
  /** The lineage's twin rows, or null where none are mixed in. */
  readonly exchange: Dataset | null;
  /** Twin rows per own row in each epoch. */
  readonly exchangeShare: number;
  readonly epochs: number;
  readonly batchSize: number;
  readonly learningRate: number;
  readonly proximalMu: number;
  /** Null for learning without a teacher. */
  readonly lesson: LocalLesson | null;
  readonly seed: number;
}

/** What a client is taught by: FitTask's distillation with its teacher unpacked. */
export interface LocalLesson extends Pick<TeacherTask, 'alpha' | 'temperature' | 'softLabels' | 'unlabelled'> {
  /** [parameters] */
  readonly teacher: Float32Array;
  /** [own rows] 1 for rows that nobody has labelled; they are counted normal elsewhere. */
  readonly assumed: Uint8Array;
}

/** The teacher of a fit task. @throws TwinwatchError WIRE_DELTA_* where its bytes do not fit the network. */
export function localLesson(
  task: TeacherTask,
  bytes: Uint8Array,
  assumed: Uint8Array,
  architecture: Architecture,
): LocalLesson {
  return { ...task, teacher: decodeDelta(bytes, layers(architecture), task.codec, null), assumed };
}

export interface LocalFitResult {
  /** parameters after − base. */
  readonly delta: Float32Array;
  /** Own rows trained on: the client's weight in the average. */
  readonly rows: number;
  readonly loss: number;
}

/** @throws TwinwatchError LEARNING_* from the engine. */
export async function fitLocally(
  engine: TrainingEngine,
  request: LocalFit,
  signal?: AbortSignal,
): Promise<LocalFitResult> {
  const { architecture, base } = request;
  const random = createRandom(`${request.seed}:exchange`);
  const { lesson, own } = request;
  const labels =
    lesson?.unlabelled === 'soft'
      ? own.labels.map((label, i) => (lesson.assumed[i] === 1 ? Number.NaN : label))
      : own.labels;
  const data = mixExchangeRows({ ...own, labels }, request.exchange, request.exchangeShare, architecture.inputs, (n) =>
    random.integer(n),
  );
  const fitted = await engine.fit(
    {
      architecture,
      parameters: base,
      data,
      epochs: request.epochs,
      batchSize: request.batchSize,
      learningRate: request.learningRate,
      seed: request.seed,
      ...(request.proximalMu > 0 ? { proximal: { mu: request.proximalMu, anchor: base } } : {}),
      ...(lesson === null ? {} : { distillation: await distillationOf(engine, architecture, lesson, data) }),
    },
    signal,
  );
  const delta = fitted.parameters.map((value, i) => value - (base[i] ?? 0));
  return { delta, rows: request.own.labels.length, loss: fitted.loss };
}

async function distillationOf(
  engine: TrainingEngine,
  architecture: Architecture,
  { alpha, temperature, teacher, softLabels }: LocalLesson,
  data: Dataset,
): Promise<Distillation> {
  if (softLabels === 'onTheFly') return { alpha, temperature, teacher: { parameters: teacher } };
  return { alpha, temperature, teacher: { scores: await engine.score(architecture, teacher, data.features) } };
}

/** Scores of `parameters` on held-back normal rows [rows × inputs], counted. */
export async function scoreHistogram(
  engine: TrainingEngine,
  architecture: Architecture,
  parameters: Float32Array,
  holdout: Float32Array,
): Promise<ScoreHistogram> {
  const counts = new Array<number>(SCORE_BINS).fill(0);
  if (holdout.length === 0) return { counts, rows: 0 };
  const scores = await engine.score(architecture, parameters, holdout);
  for (const score of scores) {
    const bin = Math.min(SCORE_BINS - 1, Math.max(0, Math.floor(score * SCORE_BINS)));
    counts[bin] = (counts[bin] ?? 0) + 1;
  }
  return { counts, rows: scores.length };
}

/** Own rows, then round(own × share) twin rows: without repetition as far as there are enough, then once more from the start. */
function mixExchangeRows(
  own: Dataset,
  exchange: Dataset | null,
  share: number,
  inputs: number,
  integer: (n: number) => number,
): Dataset {
  const ownRows = own.labels.length;
  const available = exchange?.labels.length ?? 0;
  const extra = available === 0 ? 0 : Math.round(ownRows * share);
  if (exchange === null || extra === 0) return own;
  const features = new Float32Array((ownRows + extra) * inputs);
  const labels = new Float32Array(ownRows + extra);
  features.set(own.features);
  labels.set(own.labels);
  const order = Int32Array.from({ length: available }, (_, i) => i);
  for (let i = 0; i < extra; i++) {
    const at = i % available;
    const pick = at + integer(available - at);
    const chosen = order[pick] ?? 0;
    order[pick] = order[at] ?? 0;
    order[at] = chosen;
    features.set(exchange.features.subarray(chosen * inputs, (chosen + 1) * inputs), (ownRows + i) * inputs);
    labels[ownRows + i] = exchange.labels[chosen] ?? 0;
  }
  if (own.weights === undefined && exchange.weights === undefined) return { features, labels };
  const weights = new Float32Array(ownRows + extra).fill(1);
  if (own.weights !== undefined) weights.set(own.weights);
  return { features, labels, weights };
}
