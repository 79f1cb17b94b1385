import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { startDevice, startPoller } from './children.js';

const UNITS = 32;
const DEAD_UNIT = 7;
const TIMEOUT_MS = 200;
/** Of the scheduler and the other units' reads, beside the one timeout that a probe may cost. */
const SLACK_MS = 150;
const UNPLUGGED_MS = 3_000;

/** One dead unit of 32 on a bus: what a probe of it costs the others. True where that is one timeout at most. */
export async function deadUnit(seconds: number): Promise<boolean> {
  const spec = { units: UNITS, floatsPerUnit: 10, originMs: Date.now() };
  const device = await startDevice({ ...spec, framing: 'rtu', deadUnit: DEAD_UNIT });
  const poller = startPoller({
    ...spec,
    ...{ how: 'twinwatch', url: `rtu+tcp://127.0.0.1:${device.port}`, everyMs: 0, timeoutMs: TIMEOUT_MS },
  });
  await poller.next('fault', 30_000);
  poller.begin();
  const before = await device.counts();
  await setTimeout(seconds * 2_000);
  const after = await device.counts();
  const { longestGapMs } = await poller.report();
  device.stop();
  const asked = (unit: number) => (after.requests[unit] ?? 0) - (before.requests[unit] ?? 0);
  const gaps = Object.entries(longestGapMs).filter(([unit]) => Number(unit) !== DEAD_UNIT);
  const worst = Math.max(...gaps.map(([, gap]) => gap));
  const roundMs = (seconds * 2_000 - asked(DEAD_UNIT) * TIMEOUT_MS) / Math.max(1, asked(1));
  console.log(
    `one dead unit of ${UNITS} on an RTU line, timeout ${TIMEOUT_MS} ms: asked ${asked(DEAD_UNIT)} times in ${seconds * 2} s, each of the others ${asked(1)} times; ` +
      `longest time between two readings of another ${Math.round(worst)} ms, of which ${Math.round(roundMs)} ms are a round without it`,
  );
  return gaps.length === UNITS - 1 && worst <= TIMEOUT_MS + roundMs + SLACK_MS;
}

/** A serial line that goes away and comes back: ms from its return to the next reading; null where socat is missing. */
export async function unplugged(): Promise<number | null> {
  if (spawnSync('socat', ['-V']).status !== 0) {
    console.log('an unplugged line: not measured, socat is not installed');
    return null;
  }
  const directory = mkdtempSync(join(tmpdir(), 'twinwatch-bench-'));
  const path = join(directory, 'line');
  const spec = { units: 1, floatsPerUnit: 10, originMs: Date.now() };
  const device = await startDevice({ ...spec, framing: 'rtu', deadUnit: 0 });
  const plugIn = async (): Promise<ChildProcess> => {
    const socat = spawn('socat', [`pty,raw,echo=0,link=${path}`, `tcp:127.0.0.1:${device.port},nodelay`]);
    while (!existsSync(path)) await setTimeout(5);
    return socat;
  };
  let line = await plugIn();
  const poller = startPoller({
    ...spec,
    ...{ how: 'twinwatch', url: `rtu://${path}?baudRate=115200`, everyMs: 100, timeoutMs: 500 },
  });
  await poller.next('first-reading', 20_000);
  const fault = poller.next('fault', 20_000);
  line.kill('SIGKILL');
  rmSync(path, { force: true });
  await fault;
  await setTimeout(UNPLUGGED_MS);
  const again = poller.next('again', 60_000);
  const backMs = Date.now();
  line = await plugIn();
  const recoveryMs = (await again) - backMs;
  await poller.report();
  line.kill('SIGKILL');
  device.stop();
  rmSync(directory, { recursive: true });
  console.log(
    `a serial line that was away for ${UNPLUGGED_MS / 1_000} s: read again ${(recoveryMs / 1_000).toFixed(1)} s after it is back`,
  );
  return recoveryMs;
}
