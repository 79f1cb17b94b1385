import { TwinwatchError } from '../errors.js';
import { type Tensorflow, TensorflowEngine } from './tensorflow-engine.js';

export interface LoadedTensorflow {
  readonly engine: TensorflowEngine;
  /** Why the native library is not used; null where it is. */
  readonly nativeFault: string | null;
}

/** The native engine, or what keeps it from running. */
export async function loadNativeTensorflow(): Promise<TensorflowEngine | string> {
  try {
    const { default: tf } = await import('@tensorflow/tfjs-node');
    proveItComputes(tf);
    return new TensorflowEngine(tf, 'tensorflow-node');
  } catch (error) {
    return firstLine(error);
  }
}

/** The native engine where it runs, else plain TensorFlow.js. @throws TwinwatchError TRAINING_ENGINE_UNAVAILABLE where neither does. */
export async function loadTensorflow(): Promise<LoadedTensorflow> {
  const native = await loadNativeTensorflow();
  if (typeof native !== 'string') return { engine: native, nativeFault: null };
  try {
    const tf = await import('@tensorflow/tfjs');
    tf.env().set('PROD', true); // or the first operation prints an advertisement for the native library
    await tf.setBackend('cpu');
    proveItComputes(tf);
    return { engine: new TensorflowEngine(tf, 'tensorflow-js'), nativeFault: native };
  } catch (cause) {
    throw new TwinwatchError(
      'TRAINING_ENGINE_UNAVAILABLE',
      `TensorFlow.js does not run here, native (${native}) or plain (${firstLine(cause)}); set the engine to 'builtin'`,
      { cause },
    );
  }
}

/** The native library can load and yet throw from every operation (on Node 24), so loading proves nothing. */
function proveItComputes(tf: Tensorflow): void {
  const product = tf.tidy(() => {
    const a = tf.variable(tf.tensor2d([1, 2], [1, 2]));
    const value = tf.relu(tf.matMul(a, tf.tensor2d([3, 4], [2, 1]))).dataSync()[0];
    a.dispose();
    return value;
  });
  if (product !== 11) throw new Error(`it computes 1·3 + 2·4 = ${product}`);
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? '';
}
