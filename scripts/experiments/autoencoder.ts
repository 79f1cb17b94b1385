import { createAdam } from '@twinwatch/core/learning/adam';
import { backwardLayer, type DenseLayer, forwardLayer } from '@twinwatch/core/learning/kernels';
import { createRandom } from '@twinwatch/core/learning/random';

/**
 * The usual answer to "no labels": a network that learns to repeat normal rows through a narrow middle, and is surprised by others (for water
 * networks: Taormina and Galelli 2018). Only a baseline; no part of the product. Hidden ReLU, linear output, mean squared error, Adam.
 */
export interface Autoencoder {
  /** Mean squared error of each row of `scaled` [n × inputs]. */
  errors(scaled: Float32Array): Float32Array;
}

export interface AutoencoderRequest {
  /** Normal rows, scaled. [n × inputs] */
  readonly rows: Float32Array;
  /** Normal rows that are not learned from: the epoch with the least error on these is kept. */
  readonly held: Float32Array;
  readonly inputs: number;
  readonly epochs: number;
  readonly batchSize: number;
  readonly learningRate: number;
  readonly seed: number;
}

const FORWARD_ROWS = 128;

export function learnAutoencoder(request: AutoencoderRequest): Autoencoder {
  const { rows, inputs, batchSize, epochs } = request;
  const network = new Stack(inputs, Math.max(batchSize, FORWARD_ROWS), request.seed);
  const random = createRandom(`${request.seed}:autoencoder rows`);
  const order = Uint32Array.from({ length: rows.length / inputs }, (_, row) => row);
  const adam = createAdam(network.parameters.length, request.learningRate);
  let best = { error: Number.POSITIVE_INFINITY, parameters: network.parameters.slice() };
  for (let epoch = 0; epoch < epochs; epoch++) {
    random.shuffle(order);
    for (let at = 0; at < order.length; at += batchSize) {
      network.descend(rows, order.subarray(at, at + batchSize));
      adam(network.parameters, network.gradient);
    }
    const errors = network.errors(request.held);
    const error = errors.reduce((sum, value) => sum + value, 0) / errors.length;
    if (error < best.error) best = { error, parameters: network.parameters.slice() };
  }
  network.parameters.set(best.parameters);
  return network;
}

/** inputs → ½ → ¼ → ½ → inputs. */
class Stack implements Autoencoder {
  readonly parameters: Float32Array;
  readonly gradient: Float32Array;
  readonly #inputs: number;
  readonly #input: Float32Array;
  readonly #layers: readonly DenseLayer[];

  constructor(inputs: number, maximumRows: number, seed: number) {
    const widths = [inputs, Math.ceil(inputs / 2), Math.ceil(inputs / 4), Math.ceil(inputs / 2), inputs];
    const sizes = widths.slice(1).map((outputs, layer) => ({ inputs: widths[layer]!, outputs }));
    const count = sizes.reduce((sum, size) => sum + (size.inputs + 1) * size.outputs, 0);
    const random = createRandom(seed).fork('autoencoder');
    this.parameters = new Float32Array(count);
    this.gradient = new Float32Array(count);
    this.#inputs = inputs;
    this.#input = new Float32Array(maximumRows * inputs);
    let at = 0;
    this.#layers = sizes.map((size): DenseLayer => {
      const bias = at + size.inputs * size.outputs;
      const end = bias + size.outputs;
      for (let i = at; i < bias; i++) this.parameters[i] = Math.sqrt(2 / size.inputs) * random.normal();
      const layer = {
        ...size,
        weights: this.parameters.subarray(at, bias),
        bias: this.parameters.subarray(bias, end),
        weightGradient: this.gradient.subarray(at, bias),
        biasGradient: this.gradient.subarray(bias, end),
        output: new Float32Array(maximumRows * size.outputs),
        outputGradient: new Float32Array(maximumRows * size.outputs),
      };
      at = end;
      return layer;
    });
  }

  errors(scaled: Float32Array): Float32Array {
    const inputs = this.#inputs;
    const count = scaled.length / inputs;
    const errors = new Float32Array(count);
    const { output } = this.#layers.at(-1)!;
    for (let from = 0; from < count; from += FORWARD_ROWS) {
      const rows = Math.min(FORWARD_ROWS, count - from);
      this.#input.set(scaled.subarray(from * inputs, (from + rows) * inputs));
      this.#forward(rows);
      for (let i = 0; i < rows * inputs; i++) {
        errors[from + Math.floor(i / inputs)]! += (output[i]! - this.#input[i]!) ** 2 / inputs;
      }
    }
    return errors;
  }

  /** Writes the gradient of the mean error over the rows named. */
  descend(scaled: Float32Array, batch: Uint32Array): void {
    const inputs = this.#inputs;
    for (const [row, source] of batch.entries()) {
      this.#input.set(scaled.subarray(source * inputs, (source + 1) * inputs), row * inputs);
    }
    this.#forward(batch.length);
    this.gradient.fill(0);
    const { output, outputGradient } = this.#layers.at(-1)!;
    const scale = 2 / (inputs * batch.length);
    for (let i = 0; i < batch.length * inputs; i++) outputGradient[i] = scale * (output[i]! - this.#input[i]!);
    for (let l = this.#layers.length - 1; l >= 0; l--) {
      const below = this.#layers[l - 1];
      backwardLayer(this.#layers[l]!, below?.output ?? this.#input, below?.outputGradient ?? null, batch.length);
    }
  }

  #forward(rows: number): void {
    for (const [l, layer] of this.#layers.entries()) {
      forwardLayer(layer, this.#layers[l - 1]?.output ?? this.#input, rows, l < this.#layers.length - 1);
    }
  }
}
