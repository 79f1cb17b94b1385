import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import Database from 'libsql';
import { afterEach, expect, it, vi } from 'vitest';
import { scanningDevice } from '../sources/modbus/testing/scripted-device.js';
import { startAgent } from '../testing/agent-process.js';
import { faultOf, timedDevice } from '../testing/rate-of-reads.js';

/** More rows than memory may hold, on a disk that takes none: the newest are kept, the others counted. Needs prlimit (util-linux). */

const KEPT_ROWS = 5_000;
const patient = { timeout: 300_000, interval: 100 };
const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

it('keeps the newest rows within its bound on a full disk, counts the others, and writes on once there is room', async () => {
  const device = await timedDevice(scanningDevice());
  cleanUps.push(device.close);
  const agent = await startAgent({
    agent: `interval: 100ms
poll: { every: 0ms }
training: { enabled: false }
buses: [{ url: 'tcp://127.0.0.1:${device.port}', devices: [{ name: PLC, unit: 1, template: PLC.yaml }] }]
`,
    files: {
      'PLC.yaml': `clock: { register: holding, address: 0 }
tags: [{ name: scan, register: holding, address: 10, type: UINT16 }]
`,
    },
  });
  cleanUps.push(() => agent.stop());
  const { server } = agent;
  const limit = (bytes: string) => execFileSync('prlimit', ['--pid', String(agent.pid), `--fsize=${bytes}:unlimited`]);
  const health = () => server.status?.health;
  const sequences = () => {
    const database = new Database(join(agent.directory, 'data', 'rows.db'));
    const rows = database.prepare('SELECT sequence FROM rows ORDER BY sequence').raw().all() as [number][];
    database.close();
    return rows.map(([sequence]) => sequence);
  };
  await vi.waitFor(() => expect(health()?.rowsAcquired).toBeGreaterThan(200), patient);
  limit('1');
  await vi.waitFor(() => expect(health()?.droppedTelemetry).toBeGreaterThan(1_000), patient);
  expect(faultOf(agent, 'disk')).toContain('the newest rows are kept in memory');
  const { rssBytes } = health()!;
  limit('unlimited');
  await vi.waitFor(() => expect(faultOf(agent, 'disk')).toBeUndefined(), patient);
  const gaps = () => {
    const stored = sequences();
    return stored
      .slice(1)
      .flatMap((sequence, i) => (sequence > stored[i]! + 1 ? [{ at: sequence, rows: sequence - stored[i]! - 1 }] : []));
  };
  // One gap, as long as what was counted, and after it all that memory may hold.
  const [{ at, rows }] = (await vi.waitFor(() => {
    const found = gaps();
    expect(found).toMatchObject([{ rows: health()!.droppedTelemetry }]);
    return found;
  }, patient)) as [{ at: number; rows: number }];
  expect(sequences().at(-1)! - at).toBeGreaterThan(KEPT_ROWS - 300);
  expect(health()!.rowsMissing).toBe(0);
  process.stderr.write(`full disk: ${rows} rows dropped, ${rssBytes} bytes RSS meanwhile\n`);
}, 600_000);
