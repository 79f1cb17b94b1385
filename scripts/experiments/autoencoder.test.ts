import { rocAuc } from '@twinwatch/core/evaluation/ranking';
import { createRandom } from '@twinwatch/core/learning/random';
import { expect, it } from 'vitest';
import { learnAutoencoder } from './autoencoder.js';

const INPUTS = 16;

/** Rows of two hidden causes; a strange one has its inputs in another relation, within the same range. */
function rowsOf(count: number, strange: boolean, seed: number): Float32Array {
  const random = createRandom(seed);
  const rows = new Float32Array(count * INPUTS);
  for (let row = 0; row < count; row++) {
    const [a, b] = [random.normal(), random.normal()];
    for (let i = 0; i < INPUTS; i++) {
      const sign = strange && i % 3 === 0 ? -1 : 1;
      rows[row * INPUTS + i] = sign * (Math.cos(i) * a + Math.sin(i) * b) + 0.05 * random.normal();
    }
  }
  return rows;
}

it('is surprised by rows that break the relation between inputs, and repeats itself for the same seed', () => {
  const request = {
    ...{ rows: rowsOf(1_000, false, 1), held: rowsOf(200, false, 2), inputs: INPUTS },
    ...{ epochs: 15, batchSize: 32, learningRate: 0.005, seed: 1 },
  };
  const autoencoder = learnAutoencoder(request);
  const normal = autoencoder.errors(rowsOf(300, false, 3));
  const strange = autoencoder.errors(rowsOf(300, true, 4));
  expect(normal).toHaveLength(300);
  expect(rocAuc([...normal, ...strange], [...normal.map(() => 0), ...strange.map(() => 1)])).toBeGreaterThan(0.95);
  expect(learnAutoencoder(request).errors(request.held)).toEqual(autoencoder.errors(request.held));
});
