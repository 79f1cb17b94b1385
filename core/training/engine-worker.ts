import { parentPort, workerData } from 'node:worker_threads';
import { TwinwatchError } from '../errors.js';
import { BuiltinEngine } from '../learning/builtin-engine.js';
import { parameterCount } from '../learning/network.js';
import type { EngineFault, EngineKind, EngineReply, EngineRequest } from './engine-messages.js';
import type { TensorflowEngine } from './tensorflow-engine.js';
import { loadNativeTensorflow, loadTensorflow } from './tensorflow-loader.js';

/** Parameters × batch size above which the native library is faster than the builtin engine (measured: about two million). */
const CROSSOVER = 2_000_000;

type Engine = BuiltinEngine | TensorflowEngine;
type Choose = (size: number) => Promise<Engine>;

async function openEngine(
  kind: EngineKind,
  note: (message: string) => void,
): Promise<{ first: Engine; choose: Choose }> {
  if (kind === 'tensorflow') {
    const { engine, nativeFault } = await loadTensorflow();
    if (nativeFault !== null)
      note(`the native TensorFlow library does not run (${nativeFault}); plain tfjs is used, which is slower`);
    return { first: engine, choose: async () => engine };
  }
  const builtin = new BuiltinEngine();
  let native: Promise<Engine> | null = null;
  const nativeOrBuiltin = async (): Promise<Engine> => {
    const loaded = await loadNativeTensorflow();
    if (typeof loaded !== 'string') return loaded;
    note(`the native TensorFlow library does not run (${loaded}); large networks are trained by the builtin engine`);
    return builtin;
  };
  const choose: Choose = async (size) => {
    if (kind === 'builtin' || size <= CROSSOVER) return builtin;
    native ??= nativeOrBuiltin();
    return native;
  };
  return { first: builtin, choose };
}

async function answer(choose: Choose, message: EngineRequest): Promise<EngineReply> {
  const { id } = message;
  try {
    if (message.type === 'score') {
      const { architecture, parameters, features } = message;
      const engine = await choose(0);
      return { type: 'done', id, engine: engine.name, result: await engine.score(architecture, parameters, features) };
    }
    if (message.type === 'gradient') {
      const { request } = message;
      const engine = await choose(0);
      return { type: 'done', id, engine: engine.name, result: await engine.gradient(request) };
    }
    const { request, stop } = message;
    const engine = await choose(parameterCount(request.architecture) * request.batchSize);
    const signal = {
      get aborted() {
        return Atomics.load(stop, 0) === 1;
      },
      reason: new Error('stopped'),
    };
    return { type: 'done', id, engine: engine.name, result: await engine.fit(request, signal) };
  } catch (error) {
    return { type: 'failed', id, fault: faultOf(error) };
  }
}

function faultOf(error: unknown): EngineFault {
  if (error instanceof TwinwatchError) return { code: error.code, message: error.message, context: error.context };
  return { code: null, message: error instanceof Error ? (error.stack ?? error.message) : String(error), context: {} };
}

function moved(reply: EngineReply): ArrayBuffer[] {
  if (reply.type !== 'done') return [];
  const { result } = reply;
  if (result instanceof Float32Array) return [result.buffer as ArrayBuffer];
  return [('parameters' in result ? result.parameters : result.gradient).buffer as ArrayBuffer];
}

const port = parentPort;
if (port === null) throw new Error('engine-worker.js runs in a worker thread, started by engine-host.js');
const send = (reply: EngineReply): void => port.postMessage(reply, moved(reply));
const { kind } = workerData as { kind: EngineKind };
try {
  const { first, choose } = await openEngine(kind, (message) => send({ type: 'note', message }));
  let queue: Promise<void> = Promise.resolve();
  port.on('message', (message: EngineRequest) => {
    queue = queue.then(async () => send(await answer(choose, message)));
  });
  send({ type: 'ready', engine: first.name });
} catch (error) {
  send({ type: 'unavailable', fault: faultOf(error) });
}
