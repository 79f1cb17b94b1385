import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  certificatesCommand,
  enrolCommand,
  enrolmentCommand,
  revokeCommand,
  rotateCommand,
  tokenCommand,
} from './commands.js';

it('says of a folder that holds no federation which one is meant, and leaves nothing in it', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'twinwatch-none-'));
  try {
    const refused = { code: 'SECURITY_FILE_UNREADABLE', message: expect.stringContaining('--dir') };
    for (const attempt of [
      () => certificatesCommand({ dir }),
      () => enrolCommand('site-1', { dir }),
      () => tokenCommand('site-1', { dir, valid: 1_000 }),
      () => revokeCommand('site-1', { dir }),
      () => rotateCommand('ca', { dir, overlap: 1_000 }),
      () => enrolmentCommand({ dir, host: '127.0.0.1', port: 0 }),
    ])
      await expect(attempt()).rejects.toMatchObject(refused);
    expect(readdirSync(dir)).toEqual([]);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
