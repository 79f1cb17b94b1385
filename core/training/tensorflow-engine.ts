import type * as tfjs from '@tensorflow/tfjs';
import { ADAM_BETA1, ADAM_BETA2, ADAM_EPSILON } from '../learning/adam.js';
import { epochOrders } from '../learning/builtin-engine.js';
import { teacherLogit } from '../learning/distillation.js';
import type {
  Architecture,
  Distillation,
  FitRequest,
  FitResult,
  GradientRequest,
  GradientResult,
  TrainingEngine,
} from '../learning/engine.js';
import {
  type CheckedFit,
  checkFitRequest,
  checkGradientRequest,
  checkLoss,
  type StopSignal,
  throwIfStopped,
} from '../learning/fit-request.js';
import { checkParameters, countRows, type LayerSlice, layers } from '../learning/network.js';

export type Tensorflow = typeof tfjs;

const SCORE_ROWS = 4_096;

interface DenseTensors {
  readonly slice: LayerSlice;
  readonly weights: tfjs.Variable<tfjs.Rank.R2>;
  readonly bias: tfjs.Variable<tfjs.Rank.R1>;
}

/**
 * Training on TensorFlow.js, native or plain: same flat parameters, same order of rows, same loss and same Adam as the builtin engine, so that
 * both take part in one federation. Pays off for wide networks and large batches only.
 */
export class TensorflowEngine implements TrainingEngine {
  readonly name: string;
  readonly #tf: Tensorflow;

  /** @param name 'tensorflow-node' or 'tensorflow-js', whichever `tf` is. */
  constructor(tf: Tensorflow, name: string) {
    this.#tf = tf;
    this.name = name;
  }

  async fit(request: FitRequest, signal?: StopSignal): Promise<FitResult> {
    const checked = checkFitRequest(request);
    const parameters = request.parameters.slice();
    let loss = 0;
    let steps = 0;
    for (let member = 0; member < request.architecture.members; member++) {
      const network = this.#variables(request.architecture, parameters, member);
      try {
        const fitted = this.#fitMember(request, checked, network, member, signal);
        loss += fitted.loss / request.architecture.members;
        steps += fitted.steps;
        for (const { slice, weights, bias } of network) {
          parameters.set(weights.dataSync(), slice.weightOffset);
          parameters.set(bias.dataSync(), slice.biasOffset);
        }
      } finally {
        disposeAll(network);
      }
    }
    checkParameters(request.architecture, parameters);
    return { parameters, loss, steps };
  }

  async score(architecture: Architecture, parameters: Float32Array, features: Float32Array): Promise<Float32Array> {
    checkParameters(architecture, parameters);
    const tf = this.#tf;
    const { inputs, members } = architecture;
    const rows = countRows(features, inputs);
    const scores = new Float32Array(rows);
    for (let member = 0; member < members; member++) {
      const network = this.#variables(architecture, parameters, member);
      for (let at = 0; at < rows; at += SCORE_ROWS) {
        const count = Math.min(SCORE_ROWS, rows - at);
        const output = tf.tidy(() => {
          const block = tf.tensor2d(features.slice(at * inputs, (at + count) * inputs), [count, inputs]);
          return tf.sigmoid(this.#logits(network, block)).dataSync();
        });
        for (let row = 0; row < count; row++) scores[at + row]! += output[row]! / members;
      }
      disposeAll(network);
    }
    return scores;
  }

  async gradient(request: GradientRequest): Promise<GradientResult> {
    const checked = checkGradientRequest(request);
    const tf = this.#tf;
    const sum = new Float64Array(request.parameters.length);
    let loss = 0;
    for (let member = 0; member < request.architecture.members; member++) {
      const network = this.#variables(request.architecture, request.parameters, member);
      const anchors = request.proximal && this.#variables(request.architecture, request.proximal.anchor, member);
      const add = (value: () => tfjs.Tensor, share: number): void =>
        tf.tidy(() => {
          const found = tf.variableGrads(
            () => value().asScalar(),
            network.flatMap(({ weights, bias }) => [weights, bias]),
          );
          loss += share * found.value.dataSync()[0]!;
          for (const { slice, weights, bias } of network) {
            for (const [at, { name }] of [[slice.weightOffset, weights] as const, [slice.biasOffset, bias] as const])
              for (const [i, part] of found.grads[name]!.dataSync().entries()) sum[at + i]! += share * part;
          }
        });
      try {
        for (let at = 0; at < checked.rows; at += SCORE_ROWS) {
          const batch = Int32Array.from({ length: Math.min(SCORE_ROWS, checked.rows - at) }, (_, i) => at + i);
          add(() => this.#dataLoss(request, checked, network, batch), batch.length / checked.rows);
        }
        if (anchors && request.proximal) add(() => this.#pull(network, anchors, request.proximal!.mu), 1);
      } finally {
        disposeAll([...network, ...(anchors ?? [])]);
      }
    }
    return { loss: checkLoss(loss), gradient: Float32Array.from(sum) };
  }

  async close(): Promise<void> {}

  #fitMember(
    request: FitRequest,
    checked: CheckedFit,
    network: readonly DenseTensors[],
    member: number,
    signal: StopSignal | undefined,
  ): { loss: number; steps: number } {
    const tf = this.#tf;
    const anchors = request.proximal && this.#variables(request.architecture, request.proximal.anchor, member);
    const optimizer = tf.train.adam(request.learningRate, ADAM_BETA1, ADAM_BETA2, ADAM_EPSILON);
    const trained = network.flatMap(({ weights, bias }) => [weights, bias]);
    let epochLoss = 0;
    let steps = 0;
    try {
      for (const order of epochOrders(checked.rows, request.epochs, request.seed, member)) {
        epochLoss = 0;
        for (let at = 0; at < order.length; at += request.batchSize) {
          throwIfStopped(signal);
          const batch = order.subarray(at, at + request.batchSize);
          tf.tidy(() => {
            optimizer.minimize(
              () => {
                const dataLoss = this.#dataLoss(request, checked, network, batch);
                epochLoss += dataLoss.dataSync()[0]! * batch.length;
                return anchors && request.proximal
                  ? tf.add(dataLoss, this.#pull(network, anchors, request.proximal.mu))
                  : dataLoss;
              },
              false,
              trained,
            );
          });
          steps++;
        }
        checkLoss(epochLoss);
      }
    } finally {
      optimizer.dispose();
      disposeAll(anchors ?? []);
    }
    return { loss: epochLoss / checked.rows, steps };
  }

  /** Mean of weight · (softplus(z) − z · y), which is the cross-entropy, and smooth at z = 0. */
  #dataLoss(
    request: Pick<FitRequest, 'architecture' | 'data' | 'distillation'>,
    checked: CheckedFit,
    network: readonly DenseTensors[],
    batch: Int32Array,
  ): tfjs.Scalar {
    const tf = this.#tf;
    const { inputs } = request.architecture;
    const rows = new Float32Array(batch.length * inputs);
    batch.forEach((row, i) => {
      rows.set(request.data.features.subarray(row * inputs, (row + 1) * inputs), i * inputs);
    });
    const pick = (values: Float32Array): tfjs.Tensor =>
      tf.tensor2d(
        Float32Array.from(batch, (row) => values[row]!),
        [batch.length, 1],
      );
    const input = tf.tensor2d(rows, [batch.length, inputs]);
    const logits = this.#logits(network, input);
    const { labels } = request.data;
    const { distillation } = request;
    const isLabelled = labels.map((label) => (Number.isNaN(label) ? 0 : 1));
    const known = labels.map((label) => (Number.isNaN(label) ? 0 : label));
    const hard = tf.sub(tf.softplus(logits), tf.mul(logits, pick(known)));
    const losses =
      distillation === undefined
        ? hard
        : tf.add(
            tf.mul(tf.mul(hard, pick(isLabelled)), 1 - distillation.alpha),
            this.#divergence(logits, this.#taught(request.architecture, distillation, input, pick), distillation),
          );
    return tf.mean(checked.weights === null ? losses : tf.mul(losses, pick(checked.weights)));
  }

  /** α · T² · KL(σ(taught) ‖ σ(logits / T)), row by row. */
  #divergence(logits: tfjs.Tensor, taught: tfjs.Tensor, { alpha, temperature }: Distillation): tfjs.Tensor {
    const tf = this.#tf;
    const soft = tf.sigmoid(taught);
    const crossEntropy = (z: tfjs.Tensor) => tf.sub(tf.softplus(z), tf.mul(z, soft));
    return tf.mul(tf.sub(crossEntropy(tf.div(logits, temperature)), crossEntropy(taught)), alpha * temperature ** 2);
  }

  /** z_teacher / T of the rows. [rows × 1] */
  #taught(
    architecture: Architecture,
    { teacher, temperature }: Distillation,
    rows: tfjs.Tensor2D,
    pick: (values: Float32Array) => tfjs.Tensor,
  ): tfjs.Tensor {
    const tf = this.#tf;
    let scores: tfjs.Tensor;
    if ('scores' in teacher) scores = pick(teacher.scores);
    else {
      const members = Array.from({ length: architecture.members }, (_, member) => {
        const network = this.#variables(architecture, teacher.parameters, member);
        const score = tf.sigmoid(this.#logits(network, rows));
        disposeAll(network);
        return score;
      });
      scores = tf.div(tf.addN(members), architecture.members);
    }
    return tf.tensor2d(
      Float32Array.from(scores.dataSync(), (score) => teacherLogit(score, temperature)),
      [rows.shape[0], 1],
    );
  }

  /** FedProx: mu/2 · ‖Θ − anchor‖². */
  #pull(network: readonly DenseTensors[], anchors: readonly DenseTensors[], mu: number): tfjs.Tensor {
    const tf = this.#tf;
    const parts = network.flatMap(({ weights, bias }, l) => [
      tf.sum(tf.square(tf.sub(weights, anchors[l]!.weights))),
      tf.sum(tf.square(tf.sub(bias, anchors[l]!.bias))),
    ]);
    return tf.mul(tf.addN(parts), mu / 2);
  }

  #logits(network: readonly DenseTensors[], rows: tfjs.Tensor2D): tfjs.Tensor2D {
    const tf = this.#tf;
    return network.reduce((below, { weights, bias }, l) => {
      const sums = tf.add<tfjs.Tensor2D>(tf.matMul(below, weights), bias);
      return l === network.length - 1 ? sums : tf.relu(sums);
    }, rows);
  }

  #variables(architecture: Architecture, parameters: Float32Array, member: number): DenseTensors[] {
    const tf = this.#tf;
    return layers(architecture)
      .filter((slice) => slice.member === member)
      .map((slice) => {
        const { inputs, outputs, weightOffset, biasOffset } = slice;
        const weights = parameters.slice(weightOffset, biasOffset);
        const bias = parameters.slice(biasOffset, biasOffset + outputs);
        return {
          slice,
          weights: tf.tidy(() => tf.variable(tf.tensor2d(weights, [inputs, outputs]))),
          bias: tf.tidy(() => tf.variable(tf.tensor1d(bias))),
        };
      });
  }
}

function disposeAll(network: readonly DenseTensors[]): void {
  for (const { weights, bias } of network) {
    weights.dispose();
    bias.dispose();
  }
}
