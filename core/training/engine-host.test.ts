import type { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BuiltinEngine } from '../learning/builtin-engine.js';
import type { FitRequest, TrainingEngine } from '../learning/engine.js';
import { initialParameters } from '../learning/network.js';
import { createRandom } from '../learning/random.js';
import type { Logger } from '../runtime.js';
import { createWorkerEngine } from './engine-host.js';

const architecture = { inputs: 4, hidden: [6], members: 1 };
const notes: string[] = [];
const log: Logger = {
  debug: () => {},
  info: (_context, message) => notes.push(message),
  warn: () => {},
  error: () => {},
};

function request(epochs: number): FitRequest {
  const random = createRandom(3);
  const features = Float32Array.from({ length: 4 * 200 }, () => random.normal());
  const labels = Float32Array.from({ length: 200 }, (_, row) => (features[4 * row]! > 0 ? 1 : 0));
  const parameters = initialParameters(architecture, 1);
  return { architecture, parameters, data: { features, labels }, epochs, batchSize: 8, learningRate: 0.01, seed: 2 };
}

/** Far longer than any test waits. */
const endless = 10_000_000;

describe('createWorkerEngine', () => {
  let engine: TrainingEngine;
  const workers: Worker[] = [];
  const seen = (worker: Worker): void => {
    workers.push(worker);
  };

  beforeEach(async () => {
    workers.length = 0;
    process.on('worker', seen);
    engine = await createWorkerEngine({ kind: 'builtin', log });
  });

  afterEach(async () => {
    process.off('worker', seen);
    await engine.close();
  });

  test('gives what the engine gives in this thread, and leaves the arrays of the caller alone', async () => {
    const asked = request(3);
    const whole = new Float32Array(1 + asked.parameters.length);
    whole.set(asked.parameters, 1);
    const fitted = await engine.fit({ ...asked, parameters: whole.subarray(1) });
    expect(fitted).toEqual(await new BuiltinEngine().fit(request(3)));
    expect(whole.subarray(1)).toEqual(request(3).parameters);
    expect(asked.data).toEqual(request(3).data);
    const scores = await engine.score(architecture, fitted.parameters, asked.data.features);
    expect(await engine.gradient(asked)).toEqual(await new BuiltinEngine().gradient(asked));
    expect(scores).toEqual(await new BuiltinEngine().score(architecture, fitted.parameters, asked.data.features));
    expect(engine.name).toBe('builtin');
  });

  test('an abort rejects with its reason, and the thread goes on with the next request', async () => {
    const abort = new AbortController();
    const reason = new Error('deadline');
    const fitting = engine.fit(request(endless), abort.signal);
    const after = engine.fit(request(1));
    abort.abort(reason);
    await expect(fitting).rejects.toBe(reason);
    expect((await after).steps).toBe(25);
    await expect(engine.fit(request(1), abort.signal)).rejects.toBe(reason);
    expect(workers).toHaveLength(1);
  });

  test('a wrong request is refused with the code of the engine', async () => {
    const wrong = { ...request(1), parameters: new Float32Array(3) };
    await expect(engine.fit(wrong)).rejects.toMatchObject({ code: 'LEARNING_SHAPE' });
  });

  test('a thread that dies rejects all in flight; the next request starts another', async () => {
    const fitting = engine.fit(request(endless));
    const scoring = engine.score(architecture, request(1).parameters, new Float32Array(4));
    const failures = Promise.allSettled([fitting, scoring]);
    await new Promise(setImmediate);
    await workers[0]!.terminate();
    for (const outcome of await failures) {
      expect(outcome).toMatchObject({ reason: { code: 'TRAINING_WORKER_FAILED', retryable: true } });
    }
    expect((await engine.fit(request(1))).steps).toBe(25);
    expect(workers).toHaveLength(2);
  });

  test('close rejects all in flight, may be called twice, and nothing runs after it', async () => {
    const failure = expect(engine.fit(request(endless))).rejects.toMatchObject({ code: 'TRAINING_CLOSED' });
    await new Promise(setImmediate);
    await Promise.all([engine.close(), engine.close()]);
    await failure;
    expect(workers[0]!.threadId).toBe(-1);
    await expect(engine.fit(request(1))).rejects.toMatchObject({ code: 'TRAINING_CLOSED' });
  });
});

test('auto trains small networks on the builtin engine, tensorflow on whichever TensorFlow runs', async () => {
  const auto = await createWorkerEngine({ kind: 'auto', log });
  const tensorflow = await createWorkerEngine({ kind: 'tensorflow', log });
  try {
    const [ours, theirs] = await Promise.all([auto.fit(request(1)), tensorflow.fit(request(1))]);
    expect(auto.name).toBe('builtin');
    expect(['tensorflow-node', 'tensorflow-js']).toContain(tensorflow.name);
    expect(notes.some((note) => note.includes('plain tfjs is used'))).toBe(tensorflow.name === 'tensorflow-js');
    theirs.parameters.forEach((value, i) => {
      expect(value).toBeCloseTo(ours.parameters[i]!, 5);
    });
  } finally {
    await Promise.all([auto.close(), tensorflow.close()]);
  }
});
