import { TwinwatchError } from '../errors.js';
import type { FitRequest, GradientRequest } from './engine.js';
import { checkParameters, countRows } from './network.js';

/** What a running fit looks at between steps; every AbortSignal is one. */
export interface StopSignal {
  readonly aborted: boolean;
  readonly reason?: unknown;
}

/** @throws the signal's reason where it says stop. */
export function throwIfStopped(signal: StopSignal | undefined): void {
  if (signal?.aborted) throw signal.reason;
}

/** A request that was checked, with weights that average 1 over the rows. */
export interface CheckedFit {
  readonly rows: number;
  readonly weights: Float32Array | null;
}

/** @throws TwinwatchError LEARNING_SHAPE, LEARNING_NOT_FINITE, LEARNING_REQUEST. */
export function checkFitRequest(request: FitRequest): CheckedFit {
  const { architecture, data, proximal } = request;
  checkParameters(architecture, request.parameters);
  if (proximal !== undefined) checkParameters(architecture, proximal.anchor);
  const rows = countRows(data.features, architecture.inputs);
  const given = data.weights;
  if (data.labels.length !== rows || (given !== undefined && given.length !== rows)) {
    throw new TwinwatchError(
      'LEARNING_SHAPE',
      `${rows} rows of features come with ${data.labels.length} labels and ${given?.length ?? 'no'} weights; give one each`,
    );
  }
  checkDistillation(request, rows);
  if (rows === 0) throw refused('no rows; wait until there are some');
  for (const [name, value] of Object.entries({ epochs: request.epochs, batchSize: request.batchSize })) {
    if (!Number.isSafeInteger(value) || value < 1) throw refused(`${name} ${value}; it is a whole number above 0`);
  }
  if (!(request.learningRate > 0 && request.learningRate < Number.POSITIVE_INFINITY)) {
    throw refused(`learningRate ${request.learningRate}; it is a number above 0`);
  }
  const isTaught = request.distillation !== undefined;
  const unlikely = data.labels.findIndex((label) => !(label >= 0 && label <= 1) && !(isTaught && Number.isNaN(label)));
  if (unlikely >= 0) {
    throw refused(
      `label ${data.labels[unlikely]} of row ${unlikely}; labels are 0 to 1, rows without one are left out`,
    );
  }
  return { rows, weights: given === undefined ? null : normalised(given) };
}

/** @throws TwinwatchError LEARNING_SHAPE, LEARNING_NOT_FINITE, LEARNING_REQUEST. */
export function checkGradientRequest(request: GradientRequest): CheckedFit {
  return checkFitRequest({ ...request, epochs: 1, batchSize: 1, learningRate: 1, seed: 0 });
}

function checkDistillation({ architecture, distillation }: FitRequest, rows: number): void {
  if (distillation === undefined) return;
  const { alpha, temperature, teacher } = distillation;
  if (!(alpha >= 0 && alpha <= 1)) throw refused(`alpha ${alpha}; it is a number from 0 to 1`);
  if (!(temperature > 0 && temperature < Number.POSITIVE_INFINITY)) {
    throw refused(`temperature ${temperature}; it is a number above 0`);
  }
  if ('parameters' in teacher) checkParameters(architecture, teacher.parameters);
  else if (teacher.scores.length !== rows) {
    throw new TwinwatchError(
      'LEARNING_SHAPE',
      `${rows} rows come with ${teacher.scores.length} scores of the teacher; give one each`,
    );
  }
}

function normalised(weights: Float32Array): Float32Array {
  const sum = weights.reduce((total, weight) => total + weight, 0);
  if (!(sum > 0 && sum < Number.POSITIVE_INFINITY) || weights.some((weight) => weight < 0)) {
    throw refused('weights that are negative, not finite or all 0; give each row its relative importance');
  }
  return weights.map((weight) => (weight * weights.length) / sum);
}

/** @throws TwinwatchError LEARNING_NOT_FINITE where training diverged or a feature is not a number. */
export function checkLoss(loss: number): number {
  if (Number.isFinite(loss)) return loss;
  throw new TwinwatchError(
    'LEARNING_NOT_FINITE',
    `the loss became ${loss}; check the features for values that are not numbers, and lower the learning rate`,
  );
}

function refused(what: string): TwinwatchError {
  return new TwinwatchError('LEARNING_REQUEST', `a fit was asked for with ${what}`);
}
