import { expect, it } from 'vitest';
import { layers } from '../learning/network.js';
import { createRandom } from '../learning/random.js';
import { transferBytes } from './chunks.js';
import { encodeEnvelope } from './envelope.js';
import { encodeWithFeedback } from './error-feedback.js';
import type { ParameterCodec, Update } from './messages.js';
import { topics } from './topics.js';

const ARCHITECTURE = { inputs: 43, hidden: [16, 8], members: 1 };
const LAYERS = layers(ARCHITECTURE);
const PARAMETERS = 849;
const random = createRandom('sizes');
/** Of no pattern: nothing is easy to encode. */
const delta = Float32Array.from({ length: PARAMETERS }, () => (random.next() - 0.5) ** 3);

/** Payload of MQTT for one update of the paper's network: chunk, envelope, key id and signature. */
function payloadBytes(codec: ParameterCodec, topKShare?: number): number {
  const { bytes } = encodeWithFeedback(delta, null, LAYERS, { codec, layerMask: null, topKShare });
  const update: Update = {
    ...{ kind: 'update', round: 100, attempt: 1, baseHash: '0'.repeat(64), codec, layerMask: null, delta: bytes },
    ...{ rows: 10_000, loss: 0.123456789, trainingMs: 123.456789, scores: null },
  };
  const fields = { federation: 'water-utility', sender: 'pumping-station-12', sequence: 2 ** 50, sentAtMs: 2 ** 41 };
  const topic = topics(fields.federation).agent(fields.sender).up;
  const signer = { keyId: new Uint8Array(8), sign: () => new Uint8Array(64) };
  return transferBytes(encodeEnvelope({ ...fields, message: update }, undefined, { topic, signer }));
}

it('an update of the paper-sized network takes no more than it is allowed, signature and envelope included', () => {
  const found = {
    f32: payloadBytes('f32'),
    f16: payloadBytes('f16'),
    int8: payloadBytes('int8'),
    half: payloadBytes('topk-int8', 0.5),
    quarter: payloadBytes('topk-int8', 0.25),
    tenth: payloadBytes('topk-int8', 0.1),
  };
  expect(found.half).toBeLessThanOrEqual(1_200);
  expect(found.quarter).toBeLessThanOrEqual(950);
  expect(found.tenth).toBeLessThanOrEqual(750);
  expect(found.int8).toBeLessThanOrEqual(1_500);
  expect(found.f32).toBeGreaterThan(PARAMETERS * 4);
});
