import { ERROR_CODES } from '@twinwatch/core/errors';
import { expect, it } from 'vitest';
import { codesWithoutAdvice, errorsPage } from '../generate/errors-page.js';
import { sourceFiles } from './source-files.js';

it('every code is raised somewhere', () => {
  const sources = ['core', 'broker', 'edge-agent', 'twin-server', 'scripts']
    .flatMap(sourceFiles)
    .filter(({ path }) => path !== 'core/errors.ts');
  const raised = new Set(sources.flatMap(({ code }) => code.match(/\b[A-Z]+(?:_[A-Z0-9]+)+\b/g) ?? []));
  expect(Object.keys(ERROR_CODES).filter((code) => !raised.has(code))).toEqual([]);
});

it('the page of errors keeps its advice, and lacks none unnoticed', () => {
  const codes = { A_ONE: 'First', B_TWO: 'Second' };
  const page = errorsPage(codes, '| `A_ONE` | Old meaning | Try again |\n| `GONE` | Gone | Nothing |\n');
  expect(page).toContain('| `A_ONE` | First | Try again |\n| `B_TWO` | Second |  |\n');
  expect(page).not.toContain('GONE');
  expect(codesWithoutAdvice(codes, page)).toEqual(['B_TWO']);
  expect(errorsPage(codes, page)).toBe(page);
});
