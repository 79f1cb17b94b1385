import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { processesWith, type StartedCommand, startCommand } from './started-command.js';

/** What may happen to a demonstration: kills, Ctrl-C, a second start, a taken port. */

/** A fast machine has read all that is to be commissioned before it first says how far it is. */
const AT_WORK = /commissioning: [1-9]|learning:|round 1\//;

let dataDir: string;
let demo: StartedCommand;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'demo-'));
});

afterEach(async () => {
  demo.process.kill('SIGTERM');
  await demo.ended;
  rmSync(dataDir, { recursive: true, force: true });
});

const start = (...more: string[]) =>
  startCommand('demo', '--sites', '3', '--rounds', '6', '--speed', '16', '--data-dir', dataDir, ...more);

async function kill(config: string): Promise<void> {
  const [pid] = await processesWith(join(dataDir, 'configs', `${config}.yaml`));
  expect(pid, `${config} runs`).toBeDefined();
  process.kill(pid!, 'SIGKILL');
}

describe('twinwatch demo, disturbed', () => {
  it('goes on after a kill -9 of any of its processes, and ends with 0; a second start resumes', async () => {
    demo = start('--exit-after-demo');
    await demo.printed(AT_WORK);
    await kill('plant');
    await demo.printed(/round 1\/6/);
    await kill('server');
    await demo.printed(/round 3\/6/);
    await kill('agent-site-1');
    await demo.printed(/round 4\/6/);
    await kill('broker');
    await demo.printed(/ATTACK/);
    await kill('agent-site-3');
    await kill('plant');
    expect(await demo.ended, demo.output()).toBe(0);
    expect(demo.output().match(/ended unexpectedly \(SIGKILL\)/g)).toHaveLength(6);
    expect(demo.output()).toMatch(/restarted processes: 6/);

    demo = start('--exit-after-demo', '--attack', 'none');
    expect(await demo.ended, demo.output()).toBe(0);
    expect(demo.output()).toMatch(/going on where an earlier start ended: 6 of 6 rounds/);
    expect(demo.output()).not.toMatch(/round 1\/6/);
  });

  it('stops everything and frees its ports on Ctrl-C, and leaves nothing behind when it is killed itself', async () => {
    demo = start();
    const [, port] = await demo.printed(/page: http:\/\/127\.0\.0\.1:(\d+)/);
    await demo.printed(AT_WORK);
    const other = startCommand('demo', '--data-dir', dataDir);
    expect(await other.ended).toBe(2);
    expect(other.output()).toMatch(/^CLI_DATA_DIR_IN_USE: process \d+/);
    demo.process.kill('SIGINT');
    expect(await demo.ended).toBe(130);
    expect(demo.output()).toMatch(/all 6 processes have ended; .*\n.*data: .*\n.*logs: .*\n.*go on from here/);
    expect(await processesWith(dataDir)).toEqual([]);
    await listens(Number(port));

    demo = start();
    await demo.printed(AT_WORK);
    demo.process.kill('SIGKILL');
    await demo.ended;
    await expect.poll(() => processesWith(dataDir), { timeout: 15_000 }).toEqual([]);
  });

  it('takes other ports where some are taken, and says which where it was told to use them', async () => {
    const taken = await listens(0, true);
    demo = start('--ports', String(taken.port));
    expect(await demo.ended).toBe(2);
    expect(demo.output()).toMatch(new RegExp(`^CLI_PORT_TAKEN: port ${taken.port}, meant for the broker`));
    await taken.close();
    expect(() => readFileSync(join(dataDir, 'demo.pid'))).toThrow();
  });
});

async function listens(port: number, keep = false): Promise<{ port: number; close(): Promise<void> }> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const close = () => new Promise<void>((resolve) => server.close(() => resolve()));
  const address = server.address() as { port: number };
  if (!keep) await close();
  return { port: address.port, close };
}
