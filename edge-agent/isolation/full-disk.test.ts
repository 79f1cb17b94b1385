import { execFileSync, spawnSync } from 'node:child_process';
import { afterEach, expect, it, vi } from 'vitest';
import { honest } from '../sources/modbus/testing/scripted-device.js';
import { startAgent } from '../testing/agent-process.js';
import { agentFile, bus, faultOf, goesOn, template, timedDevice, within } from '../testing/rate-of-reads.js';

/** An agent whose files may not grow any more, its log among them: what a full disk is to a process that is not root. */

const hasPrlimit = spawnSync('prlimit', ['--version']).status === 0;
if (!hasPrlimit) process.stderr.write('full-disk.test: skipped, prlimit (util-linux) is not installed\n');

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

it.skipIf(!hasPrlimit)(
  'acquires on a full disk, says so, tells its alarms, and writes what it kept once there is room',
  async () => {
    const read = await timedDevice();
    let isSilent = false;
    const failing = await timedDevice((request) => (isSilent ? 'silence' : { pdu: honest(request) }));
    cleanUps.push(read.close, failing.close);
    const agent = await startAgent({
      agent: agentFile(
        bus(`tcp://127.0.0.1:${read.port}`, 'PLC') +
          bus(`tcp://127.0.0.1:${failing.port}`, 'OTHER', 'timeoutMs: 500, '),
      ),
      files: { 'PLC.yaml': template('level'), 'OTHER.yaml': template('flow') },
    });
    cleanUps.push(() => agent.stop());
    const { server } = agent;
    const limit = (bytes: string) =>
      execFileSync('prlimit', ['--pid', String(agent.pid), `--fsize=${bytes}:unlimited`]);
    await vi.waitFor(() => expect(server.status?.health?.rowsAcquired).toBeGreaterThan(3), within);
    await goesOn(agent, read, async () => {
      limit('1');
      await vi.waitFor(
        () => expect(faultOf(agent, 'disk')).toMatch(/^does not take what is written .*kept in memory/),
        within,
      );
      server.receipts = false;
      isSilent = true;
      await vi.waitFor(() => expect(server.alarms.at(-1)?.transition).toBe('raised'), within);
      // Some tries more, none of which stops anything.
      const tried = Date.now();
      await vi.waitFor(() => expect(Date.now() - tried).toBeGreaterThan(2_500), within);
      limit('unlimited');
      await vi.waitFor(() => expect(faultOf(agent, 'disk')).toBeUndefined(), within);
    });
    expect(server.status!.health).toMatchObject({ droppedTelemetry: 0, outboxEvents: 1 });
    expect(agent.log()).toMatch(/writing failed; it is tried until it succeeds.*the disk takes what is written again/s);
  },
  60_000,
);
