import { createAdam } from './adam.js';
import type { Architecture, Dataset, FitRequest, FitResult, TrainingEngine } from './engine.js';
import { type CheckedFit, checkFitRequest, checkLoss, type StopSignal, throwIfStopped } from './fit-request.js';
import { crossEntropy, sigmoid } from './loss.js';
import { checkParameters, createMemberNetwork, forward, type MemberNetwork, memberParameterCount } from './network.js';
import { createRandom } from './random.js';

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
      const anchor = request.proximal?.anchor.subarray(start, start + perMember);
      const adam = createAdam(perMember, request.learningRate);
      let epochLoss = 0;
      for (const order of epochOrders(checked.rows, epochs, seed, member)) {
        epochLoss = 0;
        for (let at = 0; at < order.length; at += batchSize) {
          throwIfStopped(signal);
          const batch = order.subarray(at, at + batchSize);
          epochLoss += passBatch(network, request.data, checked.weights, batch);
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

  async close(): Promise<void> {}
}

/** Order of the rows in every epoch of one member: each a fresh shuffle; every engine takes the same. */
export function* epochOrders(rows: number, epochs: number, seed: number, member: number): Generator<Int32Array> {
  const random = createRandom(`${seed}/member ${member}`);
  const order = Int32Array.from({ length: rows }, (_, row) => row);
  for (let epoch = 0; epoch < epochs; epoch++) yield random.shuffle(order);
}

/** Mean loss over all rows, proximal term included, and its gradient: what finite differences are compared with. [parameterCount] */
export function lossAndGradient(request: Pick<FitRequest, 'architecture' | 'parameters' | 'data' | 'proximal'>): {
  loss: number;
  gradient: Float32Array;
} {
  const checked: CheckedFit = checkFitRequest({ ...request, epochs: 1, batchSize: 1, learningRate: 1, seed: 0 });
  const { architecture, parameters, proximal } = request;
  const perMember = memberParameterCount(architecture);
  const all = Int32Array.from({ length: checked.rows }, (_, row) => row);
  const gradient = new Float32Array(parameters.length);
  let loss = 0;
  for (let start = 0; start < parameters.length; start += perMember) {
    const own = parameters.subarray(start, start + perMember);
    const network = createMemberNetwork(architecture, own, checked.rows);
    loss += passBatch(network, request.data, checked.weights, all) / checked.rows;
    if (proximal !== undefined) {
      const anchor = proximal.anchor.subarray(start, start + perMember);
      addProximalGradient(network.gradient, own, anchor, proximal.mu);
      loss += own.reduce((sum, value, i) => sum + (proximal.mu / 2) * (value - anchor[i]!) ** 2, 0);
    }
    gradient.set(network.gradient, start);
  }
  return { loss, gradient };
}

/** Forward and backward over the rows named; the gradient is of their mean loss. @returns the sum of their losses. */
function passBatch(network: MemberNetwork, data: Dataset, weights: Float32Array | null, batch: Int32Array): number {
  const inputs = network.input.length / network.logits.length;
  const count = batch.length;
  for (let row = 0; row < count; row++) {
    const from = batch[row]! * inputs;
    const to = row * inputs;
    for (let i = 0; i < inputs; i++) network.input[to + i] = data.features[from + i]!;
  }
  network.forward(count);
  let loss = 0;
  for (let row = 0; row < count; row++) {
    const source = batch[row]!;
    const weight = weights === null ? 1 : weights[source]!;
    const logit = network.logits[row]!;
    const label = data.labels[source]!;
    loss += weight * crossEntropy(logit, label);
    network.logitGradient[row] = (weight * (sigmoid(logit) - label)) / count;
  }
  network.backward(count);
  return loss;
}

function addProximalGradient(gradient: Float32Array, own: Float32Array, anchor: Float32Array, mu: number): void {
  for (let i = 0; i < gradient.length; i++) gradient[i]! += mu * (own[i]! - anchor[i]!);
}
