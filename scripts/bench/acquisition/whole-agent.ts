import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startDevice } from './children.js';

const UNITS = 4;
const WARM_UP_MS = 6_000;
const LOOK_MS = 250;
const TICKS_PER_SECOND = 100;

/** The agent as it is started in the field, with its store, its detection and a broker that is not there. Linux only. */
export async function measureAgent(
  tags: number,
  seconds: number,
): Promise<{ tagsPerSecond: number; rssBytes: number; cpuShare: number }> {
  const directory = mkdtempSync(join(tmpdir(), 'twinwatch-bench-'));
  const floatsPerUnit = tags / UNITS;
  const device = await startDevice({
    ...{ framing: 'tcp', units: UNITS, floatsPerUnit, deadUnit: 0, originMs: Date.now() },
  });
  const units = Array.from({ length: UNITS }, (_, i) => i + 1);
  for (const unit of units) writeFileSync(join(directory, `u${unit}.yaml`), template(unit, floatsPerUnit));
  const config = {
    ...{ federation: 'bench', agent: 'bench', broker: { url: 'mqtt://127.0.0.1:1' }, dataDir: 'data', interval: '1s' },
    ...{ poll: { every: '1s' }, logLevel: 'error' },
    buses: [
      {
        url: `tcp://127.0.0.1:${device.port}`,
        devices: units.map((unit) => ({ name: `U${unit}`, unit, template: `u${unit}.yaml` })),
      },
    ],
  };
  writeFileSync(join(directory, 'agent.yaml'), JSON.stringify(config));
  const command = fileURLToPath(new URL('../../twinwatch.js', import.meta.url));
  const agent = spawn(process.execPath, [command, 'agent', '--config', join(directory, 'agent.yaml')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  // On a busy machine it takes longer to start than to warm up: that is no time in which it could read.
  while ((await device.counts()).registers === 0 && agent.exitCode === null) await setTimeout(LOOK_MS);
  await setTimeout(WARM_UP_MS);
  const before = { counts: await device.counts(), cpu: cpuSeconds(agent.pid!), atMs: performance.now() };
  await setTimeout(seconds * 1_000);
  const after = { counts: await device.counts(), cpu: cpuSeconds(agent.pid!), atMs: performance.now() };
  const rssBytes = residentBytes(agent.pid!);
  const ended = new Promise((resolve) => agent.once('exit', resolve));
  agent.kill('SIGTERM');
  await ended;
  device.stop();
  rmSync(directory, { recursive: true });
  const passed = (after.atMs - before.atMs) / 1_000;
  return {
    tagsPerSecond: (after.counts.registers - before.counts.registers) / 2 / passed,
    rssBytes,
    cpuShare: (after.cpu - before.cpu) / passed,
  };
}

function template(unit: number, floats: number): string {
  const tags = Array.from({ length: floats }, (_, i) => ({
    ...{ name: `U${unit}_${i}`, register: 'holding', address: i * 2, type: 'FLOAT32' },
  }));
  return JSON.stringify({ tags });
}

/** Now, once the store and the pipeline have worked for a while. */
function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? Number.NaN) * 1_024;
}

/** utime and stime, the 14th and 15th field; the second, a name in brackets, may hold spaces. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}
