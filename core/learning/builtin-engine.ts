import { createAdam } from './adam.js';
import { createTeacher, studentLoss, type Teacher, teacherLogit } from './distillation.js';
import type {
  Architecture,
  Dataset,
  Distillation,
  FitRequest,
  FitResult,
  GradientRequest,
  GradientResult,
  TrainingEngine,
} from './engine.js';
import { checkFitRequest, checkGradientRequest, checkLoss, type StopSignal, throwIfStopped } from './fit-request.js';
import { crossEntropy, sigmoid } from './loss.js';
import { checkParameters, createMemberNetwork, forward, type MemberNetwork, memberParameterCount } from './network.js';
import { createRandom } from './random.js';

/** Rows of one pass of a gradient over all rows: bounds memory. */
const GRADIENT_ROWS = 512;

/**
 * Training on typed arrays without any dependency, in the calling thread: a fit blocks it until done, so services use it through
 * core/training/engine-host.ts.
 *
 * Every member of an ensemble is trained on all rows, in an order of its own. A batch's loss is the mean over its rows of weight ·
 * cross-entropy, the weights averaging 1 over the data set; the last batch of an epoch may be smaller.
 */
export class BuiltinEngine implements TrainingEngine {
  readonly name = 'builtin';

  async fit(request: FitRequest, signal?: StopSignal): Promise<FitResult> {
    const checked = checkFitRequest(request);
    const { architecture, epochs, batchSize, seed } = request;
    const parameters = request.parameters.slice();
    const perMember = memberParameterCount(architecture);
    let loss = 0;
    let steps = 0;
    for (let member = 0; member < architecture.members; member++) {
      const start = member * perMember;
      const own = parameters.subarray(start, start + perMember);
      const network = createMemberNetwork(architecture, own, Math.min(batchSize, checked.rows));
      const lesson = lessonOf(request, Math.min(batchSize, checked.rows));
      const anchor = request.proximal?.anchor.subarray(start, start + perMember);
      const adam = createAdam(perMember, request.learningRate);
      let epochLoss = 0;
      for (const order of epochOrders(checked.rows, epochs, seed, member)) {
        epochLoss = 0;
        for (let at = 0; at < order.length; at += batchSize) {
          throwIfStopped(signal);
          const batch = order.subarray(at, at + batchSize);
          epochLoss += passBatch(network, request.data, checked.weights, batch, lesson);
          if (request.proximal !== undefined && anchor !== undefined) {
            addProximalGradient(network.gradient, own, anchor, request.proximal.mu);
          }
          adam(own, network.gradient);
          steps++;
        }
        checkLoss(epochLoss);
      }
      loss += epochLoss / checked.rows / architecture.members;
    }
    checkParameters(architecture, parameters);
    return { parameters, loss, steps };
  }

  async score(architecture: Architecture, parameters: Float32Array, features: Float32Array): Promise<Float32Array> {
    return forward(architecture, parameters, features);
  }

  async gradient(request: GradientRequest): Promise<GradientResult> {
    const checked = checkGradientRequest(request);
    const { architecture, parameters, proximal } = request;
    const perMember = memberParameterCount(architecture);
    const sum = new Float64Array(parameters.length);
    let loss = 0;
    for (let start = 0; start < parameters.length; start += perMember) {
      const own = parameters.subarray(start, start + perMember);
      const network = createMemberNetwork(architecture, own, Math.min(GRADIENT_ROWS, checked.rows));
      const lesson = lessonOf(request, Math.min(GRADIENT_ROWS, checked.rows));
      for (let at = 0; at < checked.rows; at += GRADIENT_ROWS) {
        const batch = Int32Array.from({ length: Math.min(GRADIENT_ROWS, checked.rows - at) }, (_, i) => at + i);
        loss += passBatch(network, request.data, checked.weights, batch, lesson) / checked.rows;
        const share = batch.length / checked.rows;
        for (const [i, value] of network.gradient.entries()) sum[start + i]! += share * value;
      }
    }
    for (const [i, value] of proximal === undefined ? [] : parameters.entries()) {
      const { mu, anchor } = proximal!;
      sum[i]! += mu * (value - anchor[i]!);
      loss += (mu / 2) * (value - anchor[i]!) ** 2;
    }
    return { loss: checkLoss(loss), gradient: Float32Array.from(sum) };
  }

  async close(): Promise<void> {}
}

/** Order of the rows in every epoch of one member: each a fresh shuffle; every engine takes the same. */
export function* epochOrders(rows: number, epochs: number, seed: number, member: number): Generator<Int32Array> {
  const random = createRandom(`${seed}/member ${member}`);
  const order = Int32Array.from({ length: rows }, (_, row) => row);
  for (let epoch = 0; epoch < epochs; epoch++) yield random.shuffle(order);
}

/** Forward and backward over the rows named; the gradient is of their mean loss. @returns the sum of their losses. */
function passBatch(
  network: MemberNetwork,
  data: Dataset,
  weights: Float32Array | null,
  batch: Int32Array,
  lesson: Lesson | null,
): number {
  const inputs = network.input.length / network.logits.length;
  const count = batch.length;
  for (let row = 0; row < count; row++) {
    const from = batch[row]! * inputs;
    const to = row * inputs;
    for (let i = 0; i < inputs; i++) network.input[to + i] = data.features[from + i]!;
  }
  network.forward(count);
  let loss = 0;
  const scores = lesson?.teacher(batch, network.input);
  for (let row = 0; row < count; row++) {
    const source = batch[row]!;
    const weight = weights === null ? 1 : weights[source]!;
    const logit = network.logits[row]!;
    const label = data.labels[source]!;
    if (lesson !== null) {
      const { distillation } = lesson;
      const taught = teacherLogit(scores![row]!, distillation.temperature);
      const student = studentLoss(logit, label, taught, distillation);
      loss += weight * student.loss;
      network.logitGradient[row] = (weight * student.derivative) / count;
      continue;
    }
    loss += weight * crossEntropy(logit, label);
    network.logitGradient[row] = (weight * (sigmoid(logit) - label)) / count;
  }
  network.backward(count);
  return loss;
}

interface Lesson {
  readonly distillation: Distillation;
  readonly teacher: Teacher;
}

function lessonOf({ architecture, distillation }: GradientRequest, maximumRows: number): Lesson | null {
  if (distillation === undefined) return null;
  return { distillation, teacher: createTeacher(architecture, distillation, maximumRows) };
}

function addProximalGradient(gradient: Float32Array, own: Float32Array, anchor: Float32Array, mu: number): void {
  for (let i = 0; i < gradient.length; i++) gradient[i]! += mu * (own[i]! - anchor[i]!);
}
