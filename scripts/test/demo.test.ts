import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { processesWith, type StartedCommand, startCommand } from './started-command.js';

/** The demonstration as a person starts it, with fewer sites and rounds. Longer runs, with kills, are in demo.long.test.ts. */

let dataDir: string;
let demo: StartedCommand;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'demo-'));
  vi.stubEnv('HOME', dataDir);
});

afterEach(async () => {
  demo.process.kill('SIGTERM');
  await demo.ended;
  vi.unstubAllEnvs();
  rmSync(dataDir, { recursive: true, force: true });
});

const start = (...more: string[]) =>
  startCommand('demo', '--sites', '2', '--rounds', '4', '--speed', '24', '--data-dir', dataDir, ...more);

describe('twinwatch demo', () => {
  it('learns, releases, attacks, alarms at the right site, clears, and ends with 0', { timeout: 240_000 }, async () => {
    demo = start('--exit-after-demo');
    expect(await demo.ended, demo.output()).toBe(0);
    const text = demo.output();
    for (const landmark of [
      /round 4\/4 cwa: 2 of 2 agents/,
      /model \S+ released as ONNX/,
      /site-1 accepted model/,
      /site-2 accepted model/,
      /ATTACK overflow-t1-hidden on site-2 begins/,
      /ALARM from site-2: score .* mostly \w+ \d+ %/,
      /alarm of site-2 cleared/,
      /AS EXPECTED/,
      /bytes per round: \d/,
      /sensor to alarm: p50 \d/,
      /PR AUC 0\.\d{3} \(guessing: 0\.\d{3}\)/,
      /all 5 processes have ended; 4 of 4 rounds are committed, model \S+ is released\n.*data: .*\n.*logs: .*logs, one/,
    ])
      expect(text).toMatch(landmark);
    expect(await processesWith(dataDir)).toEqual([]);
    // ONNX Runtime's usage records would lie here.
    expect(existsSync(join(dataDir, '.cache'))).toBe(false);
  });

  it('says at once what is wrong with what it is asked for', async () => {
    demo = start('--attack', 'no-such-attack');
    expect(await demo.ended).toBe(2);
    expect(demo.output()).toMatch(/^PLANT_ATTACK_INVALID: .*'no-such-attack'; it has blind-t1/);
    demo = startCommand('demo', '--sites', 'many');
    expect(await demo.ended).toBe(2);
    expect(demo.output()).toMatch(/'many'.*write a number above 0/);
    demo = startCommand('demo', '--ports', '70000');
    expect(await demo.ended).toBe(2);
    expect(demo.output()).toMatch(/'70000'.*write a port up to/);
  });
});
