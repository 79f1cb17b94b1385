/** The one interface behind which networks are trained and evaluated: builtin, tensorflow, in this thread or another. */

/** A multilayer perceptron, or `members` of them with the same shape averaged. Hidden ReLU, one sigmoid output. */
export interface Architecture {
  readonly inputs: number;
  /** Width of each hidden layer, first to last; the paper's is [16, 8]. */
  readonly hidden: readonly number[];
  /** Networks averaged into one score; 1 for a single network. */
  readonly members: number;
}

/** Rows in scaled feature space. Labels are probabilities: 0 normal, 1 under attack; NaN for none, which only distillation can learn from. */
export interface Dataset {
  /** [count × inputs], row-major. */
  readonly features: Float32Array;
  /** [count]. */
  readonly labels: Float32Array;
  /** [count], relative importance of each row; all 1 where absent. */
  readonly weights?: Float32Array;
}

export interface FitRequest {
  readonly architecture: Architecture;
  /** [parameterCount(architecture)], see network.ts for the layout. Not modified. */
  readonly parameters: Float32Array;
  readonly data: Dataset;
  readonly epochs: number;
  readonly batchSize: number;
  readonly learningRate: number;
  /** FedProx: adds mu/2 · ‖Θ − anchor‖² to the loss. */
  readonly proximal?: { readonly mu: number; readonly anchor: Float32Array };
  readonly distillation?: Distillation;
  /** Order of the rows and nothing else depends on it. */
  readonly seed: number;
}

/** What a student learns from a teacher of the same architecture; core/learning/distillation.ts has the loss. */
export interface Distillation {
  /** Weight of the teacher against the labels, in [0, 1]. */
  readonly alpha: number;
  /** T, above 0. */
  readonly temperature: number;
  /** The teacher's scores of all rows [count], or its parameters, for scores computed batch by batch. */
  readonly teacher: { readonly scores: Float32Array } | { readonly parameters: Float32Array };
}

export interface FitResult {
  readonly parameters: Float32Array;
  /** Mean loss over the last epoch, without the proximal term. */
  readonly loss: number;
  readonly steps: number;
}

/** Nothing is trained: no epochs, no order of rows. */
export type GradientRequest = Pick<FitRequest, 'architecture' | 'parameters' | 'data' | 'proximal' | 'distillation'>;

export interface GradientResult {
  /** Mean over all rows, the proximal term included; of an ensemble the sum over its members, each of which has its own loss. */
  readonly loss: number;
  /** [parameterCount(architecture)] of that loss by each parameter. */
  readonly gradient: Float32Array;
}

export interface TrainingEngine {
  /** 'builtin', 'tensorflow-node', 'tensorflow-js'. */
  readonly name: string;
  /** Adam's moments start afresh at every call. @throws TwinwatchError LEARNING_* on wrong shapes or a loss that is not finite. */
  fit(request: FitRequest, signal?: AbortSignal): Promise<FitResult>;
  /** Scores in [0, 1], one per row of `features` [count × inputs]. */
  score(architecture: Architecture, parameters: Float32Array, features: Float32Array): Promise<Float32Array>;
  /** @throws TwinwatchError LEARNING_* as fit does. */
  gradient(request: GradientRequest): Promise<GradientResult>;
  close(): Promise<void>;
}
