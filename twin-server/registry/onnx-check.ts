import { TwinwatchError } from '@twinwatch/core/errors';
import { scaleRows } from '@twinwatch/core/features/moments';
import type { Architecture, TrainingEngine } from '@twinwatch/core/learning/engine';
import { createRandom } from '@twinwatch/core/learning/random';
import type { Lineage } from '@twinwatch/core/wire/messages';
import { InferenceSession, Tensor } from 'onnxruntime-node';

const CHECKED_ROWS = 64;
const TOLERANCE = 1e-5;

interface Network {
  readonly engine: TrainingEngine;
  readonly architecture: Architecture;
  readonly parameters: Float32Array;
  readonly scaler: Lineage['scaler'];
}

/**
 * Runs the file in onnxruntime-node on random rows in engineering units, some of them beyond the clip, against our own
 * scaling and forward pass.
 *
 * @returns the largest difference of two scores.
 * @throws TwinwatchError RELEASE_ONNX_DIFFERS above 1e-5, or where the runtime refuses the file.
 */
export async function checkOnnx(onnx: Uint8Array, network: Network): Promise<number> {
  const { architecture, scaler } = network;
  const random = createRandom('onnx-check');
  const rows = new Float32Array(CHECKED_ROWS * architecture.inputs);
  for (let i = 0; i < rows.length; i++) {
    const input = i % architecture.inputs;
    const spread = i < rows.length / 2 ? 1 : scaler.clip;
    rows[i] = scaler.mean[input]! + scaler.scale[input]! * spread * random.normal();
  }
  const own = await network.engine.score(
    architecture,
    network.parameters,
    scaleRows(rows, scaler, architecture.inputs),
  );
  const theirs = await runtimeScores(onnx, rows, architecture.inputs);
  const difference = own.reduce(
    (largest, score, i) => Math.max(largest, Math.abs(score - (theirs[i] ?? Number.NaN))),
    0,
  );
  if (difference <= TOLERANCE) return difference;
  throw new TwinwatchError(
    'RELEASE_ONNX_DIFFERS',
    `onnxruntime-node and our forward pass differ by ${difference}, at most ${TOLERANCE} is allowed; the model is not released. Report this, with the detector's configuration`,
    { context: { difference, architecture } },
  );
}

async function runtimeScores(onnx: Uint8Array, rows: Float32Array, inputs: number): Promise<Float32Array> {
  try {
    const session = await InferenceSession.create(onnx);
    try {
      const output = await session.run({ features: new Tensor('float32', rows, [rows.length / inputs, inputs]) });
      return output.score?.data as Float32Array;
    } finally {
      await session.release();
    }
  } catch (cause) {
    throw new TwinwatchError(
      'RELEASE_ONNX_DIFFERS',
      `onnxruntime-node refuses the exported file (${cause instanceof Error ? cause.message : String(cause)}); the model is not released. Report this, with the detector's configuration`,
      { cause },
    );
  }
}
