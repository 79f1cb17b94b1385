import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { emptyWorkFolder } from './trial-configs.js';

describe('the folder of a field trial', () => {
  let out: string;
  beforeEach(() => {
    out = mkdtempSync(join(tmpdir(), 'trial-'));
  });
  afterEach(() => rmSync(out, { recursive: true, force: true }));

  it('empties what an earlier trial made', () => {
    const work = emptyWorkFolder(out);
    writeFileSync(join(work, 'left.csv'), 'x');
    expect(emptyWorkFolder(out)).toBe(work);
    expect(readdirSync(work)).not.toContain('left.csv');
  });

  it('refuses a folder that is somebody else’s', () => {
    mkdirSync(join(out, 'work'));
    writeFileSync(join(out, 'work', 'thesis.txt'), 'x');
    expect(() => emptyWorkFolder(out)).toThrow(/holds files that no field trial made/);
    expect(existsSync(join(out, 'work', 'thesis.txt'))).toBe(true);
  });
});
