import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { alone } from './private-files.js';

const HOLDER = fileURLToPath(new URL('./testing/alone-holder.js', import.meta.url));

const directory = mkdtempSync(join(tmpdir(), 'twinwatch-alone-'));
afterEach(() => rmSync(directory, { recursive: true }));

it('lets one command at a time change a directory, and nothing of a killed one stands in the way', async () => {
  // What an earlier release left, of a container whose only process has the id that this one has in its own.
  writeFileSync(join(directory, '.lock'), String(process.pid));
  const holder = fork(HOLDER, [directory]);
  await once(holder, 'message');
  const order: string[] = [];
  const waiting = alone(directory, async () => void order.push('work'));
  await new Promise((resolve) => setTimeout(resolve, 300));
  order.push('killed');
  holder.kill('SIGKILL');
  await waiting;
  expect(order).toEqual(['killed', 'work']);
  let inside = 0;
  const most = await Promise.all(
    [1, 2, 3].map(() =>
      alone(directory, async () => {
        const now = ++inside;
        await new Promise((resolve) => setTimeout(resolve, 20));
        inside--;
        return now;
      }),
    ),
  );
  expect(most).toEqual([1, 1, 1]);
});
