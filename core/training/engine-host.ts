import { Worker } from 'node:worker_threads';
import { TwinwatchError } from '../errors.js';
import type {
  Architecture,
  FitRequest,
  FitResult,
  GradientRequest,
  GradientResult,
  TrainingEngine,
} from '../learning/engine.js';
import type { Logger } from '../runtime.js';
import type { EngineFault, EngineKind, EngineReply, EngineRequest, EngineResult } from './engine-messages.js';

export interface WorkerEngineOptions {
  /** auto: native TensorFlow for fits that are large enough to gain by it where it really runs, else builtin. */
  readonly kind: EngineKind;
  readonly log: Logger;
}

/**
 * An engine in a thread of its own, so that polling and alarms never wait for training. Requests are answered in their order.
 * A thread that dies rejects what was in flight with TRAINING_WORKER_FAILED; the next request starts another.
 * @throws TwinwatchError TRAINING_ENGINE_UNAVAILABLE, TRAINING_WORKER_FAILED.
 */
export async function createWorkerEngine(options: WorkerEngineOptions): Promise<TrainingEngine> {
  const engine = new WorkerEngine(options);
  try {
    await engine.ready();
  } catch (error) {
    await engine.close();
    throw error;
  }
  return engine;
}

interface Pending {
  resolve(result: EngineResult): void;
  reject(error: unknown): void;
}

interface Thread {
  readonly worker: Worker;
  readonly ready: Promise<void>;
}

type RequestBody<R = EngineRequest> = R extends EngineRequest ? Omit<R, 'id'> : never;

class WorkerEngine implements TrainingEngine {
  readonly #options: WorkerEngineOptions;
  readonly #pending = new Map<number, Pending>();
  #thread: Thread | null = null;
  #nextId = 0;
  #isClosed = false;
  #engineName = 'builtin';

  constructor(options: WorkerEngineOptions) {
    this.#options = options;
  }

  /** Of the engine that answered last. */
  get name(): string {
    return this.#engineName;
  }

  /** Starts the thread unless it runs. */
  async ready(): Promise<void> {
    if (this.#isClosed) throw closed();
    this.#thread ??= this.#start();
    await this.#thread.ready;
  }

  async fit(request: FitRequest, signal?: AbortSignal): Promise<FitResult> {
    signal?.throwIfAborted();
    const copy = copyOf(request);
    const stop = new Int32Array(new SharedArrayBuffer(4));
    const result = this.#ask({ type: 'fit', request: copy, stop }, arraysOf(copy));
    if (signal === undefined) return (await result) as FitResult;
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        Atomics.store(stop, 0, 1);
        reject(signal.reason);
      };
      signal.addEventListener('abort', abort, { once: true });
      result
        .then((fitted) => resolve(fitted as FitResult), reject)
        .finally(() => signal.removeEventListener('abort', abort));
    });
  }

  async score(architecture: Architecture, parameters: Float32Array, features: Float32Array): Promise<Float32Array> {
    const [ownParameters, ownFeatures] = [parameters.slice(), features.slice()];
    const body = { type: 'score', architecture, parameters: ownParameters, features: ownFeatures } as const;
    return (await this.#ask(body, [ownParameters, ownFeatures])) as Float32Array;
  }

  async gradient(request: GradientRequest): Promise<GradientResult> {
    const copy = copyOf(request);
    return (await this.#ask({ type: 'gradient', request: copy }, arraysOf(copy))) as GradientResult;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const thread = this.#thread;
    this.#thread = null;
    this.#rejectAll(closed());
    await thread?.worker.terminate();
  }

  async #ask(body: RequestBody, arrays: readonly (Float32Array | undefined)[]): Promise<EngineResult> {
    await this.ready();
    const thread = this.#thread;
    if (thread === null) throw closed();
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      const buffers = arrays.flatMap((array) => (array === undefined ? [] : [array.buffer as ArrayBuffer]));
      thread.worker.postMessage({ ...body, id } as EngineRequest, buffers);
    });
  }

  #start(): Thread {
    const { kind } = this.#options;
    const worker = new Worker(new URL('./engine-worker.js', import.meta.url), {
      workerData: { kind },
      name: 'twinwatch-training',
    });
    const ready = new Promise<void>((resolve, reject) => {
      const die = (error: TwinwatchError): void => {
        reject(this.#isClosed ? closed() : error);
        if (this.#thread?.worker !== worker) return;
        this.#thread = null;
        this.#rejectAll(error);
      };
      worker.on('message', (reply: EngineReply) => {
        switch (reply.type) {
          case 'ready':
            this.#engineName = reply.engine;
            resolve();
            break;
          case 'unavailable':
            die(errorOf(reply.fault));
            break;
          case 'note':
            this.#options.log.info({ engine: kind }, reply.message);
            break;
          default:
            this.#settle(reply);
        }
      });
      worker.on('messageerror', (cause) => die(workerFailed('a message could not be read', cause)));
      worker.on('error', (cause) => die(workerFailed(cause instanceof Error ? cause.message : String(cause), cause)));
      worker.on('exit', (code) => die(workerFailed(`it ended with code ${code}`)));
    });
    ready.catch(() => {});
    return { worker, ready };
  }

  #settle(reply: Extract<EngineReply, { id: number }>): void {
    const pending = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    if (reply.type === 'failed') {
      pending?.reject(errorOf(reply.fault));
      return;
    }
    this.#engineName = reply.engine;
    pending?.resolve(reply.result);
  }

  #rejectAll(error: TwinwatchError): void {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(error);
  }
}

/** What is sent is moved away from here; the caller keeps its own. */
function copyOf<R extends GradientRequest>(request: R): R {
  const { data, proximal, distillation } = request;
  return {
    ...request,
    parameters: request.parameters.slice(),
    data: {
      features: data.features.slice(),
      labels: data.labels.slice(),
      ...(data.weights === undefined ? {} : { weights: data.weights.slice() }),
    },
    ...(proximal === undefined ? {} : { proximal: { mu: proximal.mu, anchor: proximal.anchor.slice() } }),
    ...(distillation === undefined ? {} : { distillation: structuredClone(distillation) }),
  };
}

function arraysOf({ parameters, data, proximal, distillation }: GradientRequest): (Float32Array | undefined)[] {
  const teachers = Object.values(distillation?.teacher ?? {}) as Float32Array[];
  return [parameters, data.features, data.labels, data.weights, proximal?.anchor, ...teachers];
}

function errorOf(fault: EngineFault): TwinwatchError {
  return fault.code === null
    ? workerFailed(fault.message)
    : new TwinwatchError(fault.code, fault.message, { context: fault.context });
}

function workerFailed(what: string, cause?: unknown): TwinwatchError {
  return new TwinwatchError(
    'TRAINING_WORKER_FAILED',
    `The training thread failed: ${what}; ask again to start another`,
    {
      cause,
      retryable: true,
    },
  );
}

function closed(): TwinwatchError {
  return new TwinwatchError('TRAINING_CLOSED', 'The training engine is closed; create another');
}
