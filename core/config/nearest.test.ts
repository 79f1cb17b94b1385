import { expect, it } from 'vitest';
import { nearest } from './nearest.js';

it.each([
  ['timeotMs', ['timeoutMs', 'retries'], 'timeoutMs'],
  ['byteorder', ['byte_order', 'unit'], 'byte_order'],
  ['ABDC', ['ABCD', 'DCBA'], 'ABCD'],
  ['colour', ['name', 'unit'], null],
  ['x', [], null],
  ['x', ['y'], null],
  ['__proto__', ['ports'], null],
])('%s among %j is %j', (found, known, meant) => {
  expect(nearest(found, known)).toBe(meant);
});
