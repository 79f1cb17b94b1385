import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { honest, registerAt, scanningDevice, tcpDevice } from './sources/modbus/testing/scripted-device.js';

/** An agent as a process of its own, whose files change while it polls. */

const cleanUps: (() => unknown)[] = [];
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'twinwatch-reload-'));
});
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
  rmSync(directory, { recursive: true });
});

const template = (tag: string, clock = '') =>
  `${clock}tags:\n  - { name: ${tag}, register: holding, address: 10, type: UINT16 }\n`;

it('takes up changed devices without a gap in the others of their bus and of other buses, and goes on with the old file where the new one is wrong', async () => {
  const scans = scanningDevice();
  // Two controllers behind one port: the first scans, the second only answers.
  const kept = await tcpDevice((request) => (request.unit === 1 ? scans(request) : { pdu: honest(request) }));
  const changed = await tcpDevice((request) => ({ pdu: honest(request) }));
  cleanUps.push(kept.close, changed.close);
  const agent = (devices: string, beside: string, rest = '') =>
    `federation: f\nagent: a\nbroker: { url: mqtt://127.0.0.1:1 }\ndataDir: data\ninterval: 100ms\npoll: { every: 5ms, lateAfter: 200ms }
training: { enabled: false }\nbuses:\n  - { url: 'tcp://127.0.0.1:${kept.port}', devices: [{ name: K, unit: 1, template: kept.yaml }${beside}] }\n${devices}${rest}`;
  const second = (name: string) =>
    `  - { url: 'tcp://127.0.0.1:${changed.port}', devices: [{ name: ${name}, unit: 1, template: changed.yaml }] }\n`;
  const write = (name: string, text: string) => writeFileSync(join(directory, name), text);
  write('kept.yaml', template('kept', 'clock: { register: holding, address: 0 }\n'));
  write('changed.yaml', template('first'));
  write('beside.yaml', template('beside'));
  write('agent.yaml', agent(second('C'), ', { name: B, unit: 2, template: beside.yaml }'));
  write(
    'run.mjs',
    `import { main } from ${JSON.stringify(new URL('./main.js', import.meta.url).href)};\nawait main('agent.yaml');\n`,
  );
  const child: ChildProcess = spawn(process.execPath, ['run.mjs'], { cwd: directory });
  let log = '';
  child.stderr!.on('data', (text: Buffer) => {
    log += text.toString();
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  cleanUps.push(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  await new Promise((resolve) => child.stdout!.once('data', resolve));
  const logged = (text: string) => expect.poll(() => log, { timeout: 15_000, interval: 20 }).toContain(text);
  const polls = (device: { requests: readonly unknown[] }, more: number) => {
    const from = device.requests.length;
    return expect.poll(() => device.requests.length, { timeout: 15_000 }).toBeGreaterThan(from + more);
  };
  await polls(kept, 60);
  write('changed.yaml', 'tags: [{ name: second, register: holding, adress: 10, type: UINT16 }]');
  child.kill('SIGHUP');
  await logged("did you mean 'address'?");
  expect(log).toContain('the one before goes on');
  await polls(changed, 60);
  write('changed.yaml', template('second'));
  write('beside.yaml', template('aside').replace('10', '20'));
  child.kill('SIGHUP');
  await logged('devices were taken up');
  await polls(changed, 60);
  expect(kept.requests.some(({ unit, address }) => unit === 2 && address === 20)).toBe(true);
  // By itself, without a signal; the device beside and the other bus are gone, and a setting waits for a restart.
  write('agent.yaml', agent('', '', 'statusEvery: 7s\n'));
  await logged('wait for a restart');
  await logged('"devices":1');
  const last = kept.requests.length;
  await polls(kept, 60);
  expect(kept.requests.slice(last + 5).every(({ unit }) => unit === 1)).toBe(true);
  expect([kept.accepted(), changed.accepted(), changed.connections()]).toEqual([1, 1, 0]);
  child.kill('SIGTERM');
  await ended;
  const database = new Database(join(directory, 'data', 'rows.db'));
  const rows = database
    .prepare('SELECT sequence, tags, vals FROM rows JOIN tag_lists ON tag_lists.id = rows.tag_list ORDER BY time_ms')
    .raw()
    .all() as [number, string, Buffer][];
  database.close();
  const lists = [...new Set(rows.map(([, tags]) => tags))];
  expect(lists).toEqual(['["kept","beside","first"]', '["kept","aside","second"]', '["kept"]']);
  const values = rows.map(([sequence, , bytes]) => ({ sequence, kept: bytes.readDoubleLE(0) }));
  for (const { sequence, kept: value } of values) expect(value).toBe(sequence & 0xffff);
  expect(rows.length).toBeGreaterThan(40);
  // Every scan that was read is in a row, across both changes.
  expect(new Set(values.slice(1).map(({ sequence }, i) => sequence - values[i]!.sequence))).toEqual(new Set([1]));
  const changedRows = rows.filter(([, tags]) => tags === lists[1]);
  const known = (tag: number) => changedRows.map(([, , bytes]) => bytes.readDoubleLE(8 * tag)).filter(Number.isFinite);
  // None of what the device said before its registers were others.
  expect(new Set(known(1))).toEqual(new Set([registerAt(20)]));
  expect(new Set(known(2))).toEqual(new Set([registerAt(10)]));
}, 30_000);
