import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { schemaHash } from '@twinwatch/core/features/schema';
import { parameterCount } from '@twinwatch/core/learning/network';
import type { Logger } from '@twinwatch/core/runtime';
import { blobRef, encodeLineage, encodeParameters } from '@twinwatch/core/wire/blobs';
import type { AlarmCommand } from '@twinwatch/core/wire/commands';
import type { Lineage } from '@twinwatch/core/wire/messages';
import Database from 'libsql';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { SCALER, SCHEMA } from '../detection/testing/hand-made-model.js';
import { type DeviceScript, honest } from '../sources/modbus/testing/scripted-device.js';
import { Store } from '../store/store.js';
import { systemTimers } from '../system-runtime.js';
import { type AgentProcess, startAgent } from '../testing/agent-process.js';
import {
  agentFile,
  bus,
  faultOf,
  goesOn,
  INTERVAL_MS,
  template,
  timedDevice,
  within,
} from '../testing/rate-of-reads.js';

/** What goes wrong beside a device does not slow down how it is read: counted by the device, and in the store. */

const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function device(script?: DeviceScript) {
  const made = await timedDevice(script);
  cleanUps.push(made.close);
  return made;
}

async function start(...from: Parameters<typeof startAgent>): Promise<AgentProcess> {
  const agent = await startAgent(...from);
  cleanUps.push(() => agent.stop());
  return agent;
}

describe('acquisition goes on at its rate', () => {
  it('while a large network is trained', async () => {
    const read = await device();
    const architecture = { inputs: 3, hidden: [512, 512], members: 1 };
    const agent = await start({
      agent: agentFile(bus(`tcp://127.0.0.1:${read.port}`, 'PLC'), '{ quarantine: 10s, engine: builtin }'),
      files: { 'PLC.yaml': template('level', 'flow') },
      // Rows of before, to learn from.
      prepare: async (directory) => {
        const limits = { maximumRows: 1e6, maximumBytes: 1e9, maximumOutboxEvents: 99, maximumBlobBytes: 1e8 };
        const store = await Store.open(
          { directory, ...limits },
          { timers: systemTimers, log: quiet, maximumQueuedRows: 99 },
        );
        const count = 1_200;
        const values = Float64Array.from({ length: count * 2 }, (_, i) => 5 + Math.sin(i) + (i % 2) * 15);
        const timesMs = Float64Array.from({ length: count }, (_, i) => Date.UTC(2024, 5, 1) + i * INTERVAL_MS);
        await store.call('importRows', { tags: ['level', 'flow'], timesMs, values, labels: new Int8Array(count) });
        await store.close();
      },
    });
    const { server } = agent;
    const schema = { ...SCHEMA, intervalMs: INTERVAL_MS };
    const lineage: Lineage = {
      schema,
      schemaHash: schemaHash(schema),
      scaler: SCALER,
      architecture,
      exchange: null,
    };
    const parameters = Float32Array.from({ length: parameterCount(architecture) }, (_, i) => Math.sin(i) / 30);
    const ref = server.keep(encodeParameters(parameters));
    await vi.waitFor(() => expect(server.newest('hello')?.eligibleRows).toBeGreaterThan(500), within);
    await goesOn(agent, read, async () => {
      await server.fit({
        ...{ kind: 'fit', round: 1, attempt: 0, method: 'fedavg', lineage: blobRef(encodeLineage(lineage)) },
        ...{ parameters: ref, epochs: 1, batchSize: 16, learningRate: 0.001, proximalMu: 0, exchangeShare: 0 },
        ...{
          codec: 'int8',
          layerMask: null,
          seed: 1,
          deadlineMs: 300_000,
          lineage: server.keep(encodeLineage(lineage)),
        },
      });
      await vi.waitFor(() => expect(server.newest('update')).toBeDefined(), { timeout: 120_000, interval: 50 });
    });
    expect(server.newest('update')).toMatchObject({ round: 1, rows: expect.toSatisfy((rows: number) => rows > 400) });
    expect(agent.log()).toContain('fitted');
  }, 150_000);

  it('while the broker is away', async () => {
    const read = await device();
    const agent = await start({
      agent: agentFile(bus(`tcp://127.0.0.1:${read.port}`, 'PLC')),
      files: { 'PLC.yaml': template('level') },
    });
    await vi.waitFor(() => expect(agent.server.status?.health?.rowsAcquired).toBeGreaterThan(3), within);
    await goesOn(agent, read, async () => {
      await agent.closeBroker();
      const before = read.timesMs.length;
      await vi.waitFor(() => expect(read.timesMs.length).toBeGreaterThan(before + 60), within);
    });
  }, 60_000);

  it('while the disk does not answer, which is told, as are alarms; then everything is written', async () => {
    const read = await device();
    let isSilent = false;
    const failing = await device((request) => (isSilent ? 'silence' : { pdu: honest(request) }));
    const agent = await start({
      agent: agentFile(
        bus(`tcp://127.0.0.1:${read.port}`, 'PLC') +
          bus(`tcp://127.0.0.1:${failing.port}`, 'OTHER', 'timeoutMs: 500, '),
      ),
      files: { 'PLC.yaml': template('level'), 'OTHER.yaml': template('flow') },
    });
    await vi.waitFor(() => expect(agent.server.status?.health?.rowsAcquired).toBeGreaterThan(3), within);
    // Another process has both files locked: whoever writes waits inside the database, as for a disk that hangs.
    const locks = ['rows.db', 'agent.db'].map((file) => new Database(join(agent.directory, 'data', file)));
    await goesOn(agent, read, async () => {
      for (const lock of locks) lock.exec('BEGIN IMMEDIATE');
      isSilent = true;
      await vi.waitFor(() => expect(faultOf(agent, 'disk')).toMatch(/^does not (answer|take).*kept in memory/), within);
      await vi.waitFor(() => expect(agent.server.alarms.at(-1)?.transition).toBe('raised'), within);
      for (const lock of locks) lock.exec('ROLLBACK');
    });
    for (const lock of locks) lock.close();
    await vi.waitFor(() => expect(faultOf(agent, 'disk')).toBeUndefined(), within);
    expect(agent.server.status!.health!.droppedTelemetry).toBe(0);
    expect(agent.log()).toMatch(/disk does not answer; .*disk (answers|takes what is written) again/s);
  }, 60_000);
});

const hasSocat = spawnSync('socat', ['-V']).status === 0;
if (!hasSocat) process.stderr.write('isolation.test: no silent serial line, socat is not installed\n');

/** Accepts, and never says anything; a peer that is gone without having said so looks alike. */
async function silentServer(): Promise<string> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanUps.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return `tcp://127.0.0.1:${(server.address() as net.AddressInfo).port}`;
}

/** A process that is stopped: its port still takes connections and bytes, and nobody reads them. */
async function stoppedServer(): Promise<string> {
  const child = spawn(
    process.execPath,
    ['-e', `const s = require('net').createServer().listen(0, '127.0.0.1', () => console.log(s.address().port))`],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  cleanUps.push(() => child.kill('SIGKILL'));
  const port = String(await new Promise((resolve) => child.stdout.once('data', resolve))).trim();
  child.kill('SIGSTOP');
  return `tcp://127.0.0.1:${port}`;
}

/** A serial port with nobody at its other end. */
async function silentLine(directory: string): Promise<string> {
  const [near, far] = [join(directory, 'near'), join(directory, 'far')];
  const end = (path: string) => `pty,raw,echo=0,link=${path}`;
  const socat = spawn('socat', [end(near), end(far)]);
  cleanUps.push(() => socat.kill());
  await vi.waitFor(() => expect(existsSync(near)).toBe(true), within);
  return `rtu://${near}?baudRate=9600`;
}

describe('a bus that hangs', () => {
  it('holds up no other, is told on the wire, and a person can say that they look after it', async () => {
    const read = await device();
    const lines = { ACCEPTS: await silentServer(), STOPPED: await stoppedServer() } as Record<string, string>;
    if (hasSocat) {
      const directory = String(execFileSync('mktemp', ['-d'])).trim();
      cleanUps.push(() => execFileSync('rm', ['-r', directory]));
      lines.SERIAL = await silentLine(directory);
    }
    const names = Object.keys(lines);
    const hung = names.map((name) => bus(lines[name]!, name, 'timeoutMs: 300, ')).join('');
    const agent = await start({
      agent: agentFile(bus(`tcp://127.0.0.1:${read.port}`, 'PLC') + hung),
      files: {
        'PLC.yaml': template('level'),
        ...Object.fromEntries(names.map((name) => [`${name}.yaml`, template(`tag_${name}`)])),
      },
    });
    const { server } = agent;
    await goesOn(agent, read, async () => {
      await vi.waitFor(() => {
        for (const name of names) expect(faultOf(agent, name)).toMatch(/^MODBUS_(TIMEOUT|UNREACHABLE)/);
        expect(server.alarms).toHaveLength(1);
      }, within);
      const [{ alarmId, communication }] = server.alarms as [(typeof server.alarms)[number]];
      expect(communication?.devices).toEqual(names);
      expect(communication?.tags).toEqual(names.map((name) => `tag_${name}`));
      const command: AlarmCommand = {
        ...{ kind: 'alarm-command', commandId: 'c1', by: 'Ada', decidedAtMs: 5, action: 'acknowledge', alarmId },
        shelveMs: null,
      };
      await server.send('command', command);
      await vi.waitFor(() => expect(server.newest('command-receipt')?.verdict).toBe('done'), within);
      await vi.waitFor(() => expect(server.alarms[1]).toMatchObject({ transition: 'acknowledged', alarmId }), within);
      await server.send('command', { ...command, commandId: 'c2', action: 'dismiss' });
      await vi.waitFor(() => expect(server.newest('command-receipt')?.detail).toContain('can be acknowledged'), within);
    });
    expect(faultOf(agent, 'PLC')).toBeUndefined();
  }, 60_000);
});
