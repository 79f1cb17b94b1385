import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ROOT } from '../processes/repository.js';

it('every claim of the threat model names a test that is there', () => {
  const page = readFileSync(join(ROOT, 'docs', 'threat-model.md'), 'utf8');
  const claims = [...page.matchAll(/\| `([^`]+\.test\.ts)`: (.+?) \|$/gm)].map(([, file = '', name = '']) => ({
    file,
    name,
  }));
  expect(claims.length).toBeGreaterThan(20);
  const missing = claims.filter(({ file, name }) => {
    const source = readFileSync(join(ROOT, file), 'utf8').replace(/\(\s+/g, '(');
    return !["'", '"', '`'].some((quote) => source.includes(`(${quote}${name}${quote}`));
  });
  expect(missing).toEqual([]);
});
