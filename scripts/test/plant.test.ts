import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import ModbusSerial from 'modbus-serial';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PlantMessage } from '../plant/plant-messages.js';
import { type StartedCommand, startCommand } from './started-command.js';

/** The plant simulator as a process, read by clients that are none of ours. */

const run = promisify(execFile);
const HOUR = 3_600_000;

const PLANT = `
name: two-tanks
network: unused.inp
interval: 1h
tags:
  - { name: L_T1, unit: m, resolution: 0.01, plc: PLC1, measures: level, element: T1 }
  - { name: F_PU1, unit: L/s, resolution: 0.1, plc: PLC1, measures: flow, element: PU1 }
  - { name: S_PU1, kind: status, resolution: 1, plc: PLC1, measures: status, element: PU1 }
  - { name: L_T2, unit: m, resolution: 0.01, plc: PLC2, measures: level, element: T2 }
controls: [{ plc: PLC1, actuator: PU1, on: { tag: L_T1, below: 1 }, off: { tag: L_T1, above: 2 } }]
`;
const PLC1 = `
clock: { register: input, address: 0 }
tags:
  - { name: L_T1, register: holding, address: 10, type: FLOAT32 }
  - { name: F_PU1, register: input, address: 4, type: INT16, scale: 0.1 }
  - { name: S_PU1, register: coil, address: 3, type: BIT }
`;
const PLC2 = `
clock: { register: holding, address: 100 }
tags: [{ name: L_T2, register: holding, address: 0, type: FLOAT32, byte_order: CDAB }]
`;
const FEED =
  'time,L_T1,F_PU1,S_PU1,L_T2\n2024-05-01T00:00,1.5,-12.34,1,0.25\n2024-05-01T01:00,1.75,0,0,0.5\n2024-05-01T02:00,2,98.7,1,0.75\n';

type ModbusRTU = ModbusSerial.default;

let folder: string;
let plant: StartedCommand;
let ports: Record<string, number>;
const clients: ModbusRTU[] = [];

function config(more = ''): string {
  const file = join(folder, 'sim.yaml');
  writeFileSync(
    file,
    `plant: plant.yaml\nports: auto\nfeed: { csv: feed.csv }\ndataDir: data\nsites: [{ name: a }]\n${more}`,
  );
  return file;
}

async function start(): Promise<void> {
  plant = startCommand('plant', '--config', config());
  const listening = await plant.told<PlantMessage>(({ kind }) => kind === 'listening');
  ports = { ...(listening as Extract<PlantMessage, { kind: 'listening' }>).sites.a };
}

async function connect(plc: string, unit: number): Promise<ModbusRTU> {
  const client = new ModbusSerial.default();
  await client.connectTCP('127.0.0.1', { port: ports[plc]! });
  client.setID(unit);
  client.setTimeout(2_000);
  clients.push(client);
  return client;
}

const sequenceOf = async (client: ModbusRTU) => (await client.readInputRegisters(0, 4)).data[1];

/** Clock, tags, clock: as a reader does that proves its values belong to one scan. */
async function readWhole(one: ModbusRTU, two: ModbusRTU) {
  const clock = await one.readInputRegisters(0, 4);
  const level = (await one.readHoldingRegisters(10, 2)).buffer.readFloatBE();
  const flow = (await one.readInputRegisters(4, 1)).buffer.readInt16BE() / 10;
  const pump = (await one.readCoils(3, 1)).data[0];
  await one.readInputRegisters(0, 4);
  await two.readHoldingRegisters(100, 4);
  const words = (await two.readHoldingRegisters(0, 2)).data;
  await two.readHoldingRegisters(100, 4);
  const level2 = Buffer.from([words[1]! >> 8, words[1]! & 255, words[0]! >> 8, words[0]! & 255]).readFloatBE();
  return {
    sequence: clock.buffer.readUInt32BE(0),
    timeMs: clock.buffer.readUInt32BE(4) * 1000,
    level,
    flow,
    pump,
    level2,
  };
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'plant-'));
  for (const [name, text] of Object.entries({
    'plant.yaml': PLANT,
    'plc1.yaml': PLC1,
    'plc2.yaml': PLC2,
    'feed.csv': FEED,
    'unused.inp': '',
    'attacks.yaml': 'attacks: []',
  }))
    writeFileSync(join(folder, name), text);
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.close(() => undefined);
  plant.process.kill('SIGTERM');
  await plant.ended;
  rmSync(folder, { recursive: true, force: true });
});

describe('the plant simulator', () => {
  it('serves every row once, encoded as the templates say, and goes on only after a complete read of every PLC', async () => {
    await start();
    const [one, two] = [await connect('PLC1', 1), await connect('PLC2', 1)];
    const first = await readWhole(one, two);
    expect(first).toMatchObject({
      sequence: 1,
      timeMs: Date.UTC(2024, 4, 1),
      flow: -12.3,
      pump: true,
      level: 1.5,
      level2: 0.25,
    });

    // An observer reads everything as often as it likes; the reader reads one PLC only: nothing moves.
    const [eyes1, eyes2] = [await connect('PLC1', 9), await connect('PLC2', 9)];
    await readWhole(eyes1, eyes2);
    await readWhole(eyes1, eyes2);
    await one.readHoldingRegisters(10, 2);
    expect(await sequenceOf(eyes1)).toBe(2);

    expect(await readWhole(one, two)).toMatchObject({
      sequence: 2,
      timeMs: Date.UTC(2024, 4, 1) + HOUR,
      flow: 0,
      pump: false,
      level: 1.75,
    });
    expect(await readWhole(one, two)).toMatchObject({ sequence: 3, flow: 98.7, level2: 0.75 });
    const finished = await plant.told<PlantMessage>(({ kind }) => kind === 'feed-finished');
    expect(finished).toMatchObject({ site: 'a', rows: 3 });
  });

  it('answers as the standard says to what it does not have', async () => {
    await start();
    const one = await connect('PLC1', 9);
    await expect(one.readHoldingRegisters(9, 2)).rejects.toMatchObject({ modbusCode: 2 });
    await expect(one.readHoldingRegisters(0, 126)).rejects.toMatchObject({ modbusCode: 3 });
    await expect(one.writeRegister(10, 1)).rejects.toMatchObject({ modbusCode: 1 });
  });

  it('goes on where it was after a kill, and lets a reader that lost its connection read again', async () => {
    await start();
    let [one, two] = [await connect('PLC1', 1), await connect('PLC2', 1)];
    await readWhole(one, two);
    await plant.told<PlantMessage>((message) => message.kind === 'progress' && message.sites.a?.rows === 2);
    plant.process.kill('SIGKILL');
    await plant.ended;
    await start();
    [one, two] = [await connect('PLC1', 1), await connect('PLC2', 1)];
    await two.readHoldingRegisters(100, 4);
    await two.readHoldingRegisters(0, 2);
    await two.readHoldingRegisters(100, 4);
    await new Promise<void>((resolve) => two.close(() => resolve()));
    two = await connect('PLC2', 1);
    expect(await readWhole(one, two)).toMatchObject({ sequence: 2, level2: 0.5 });
  });

  it('lets a visitor with the reader’s own unit come and go without disturbing it', async () => {
    await start();
    const [one, two] = [await connect('PLC1', 1), await connect('PLC2', 1)];
    await one.readInputRegisters(0, 4);
    await one.readHoldingRegisters(10, 2);
    await one.readInputRegisters(4, 1);
    const [visitor1, visitor2] = [await connect('PLC1', 1), await connect('PLC2', 1)];
    expect(await readWhole(visitor1, visitor2)).toMatchObject({ sequence: 1 });
    await new Promise<void>((resolve) => visitor1.close(() => resolve()));
    // What the reader had read still counts: the rest completes the row.
    await one.readCoils(3, 1);
    await one.readInputRegisters(0, 4);
    await two.readHoldingRegisters(100, 4);
    await two.readHoldingRegisters(0, 2);
    await two.readHoldingRegisters(100, 4);
    expect(await readWhole(one, two)).toMatchObject({ sequence: 2 });
  });

  it('is read by mbpoll', async ({ skip }) => {
    const mbpoll = await run('which', ['mbpoll']).catch(() => null);
    if (mbpoll === null) skip('mbpoll is not installed');
    await start();
    const read = async (...args: string[]) =>
      (await run('mbpoll', ['-m', 'tcp', '-a', '9', '-0', '-1', '-p', String(ports.PLC1), ...args, '127.0.0.1']))
        .stdout;
    expect(await read('-t', '4:float', '-B', '-r', '10')).toMatch(/\[10\]:\s+1\.5\b/);
    expect(await read('-t', '3', '-r', '4')).toMatch(/\[4\]:\s+\d+ \(-123\)/);
    expect(await read('-t', '0', '-r', '3')).toMatch(/\[3\]:\s+1\b/);
  });

  it('says with code, file and line what is wrong, and which port is taken', async () => {
    await start();
    const taken = startCommand('plant', '--config', config(`control: { port: ${ports.PLC1} }\n`));
    expect(await taken.ended).toBe(2);
    expect(taken.output()).toMatch(/^PLANT_PORT_TAKEN: .*is taken/);
    const wrong = startCommand('plant', '--config', config('sped: 3\nrowsPerSecond: -1\n'));
    expect(await wrong.ended).toBe(2);
    expect(wrong.output()).toMatch(
      /^CONFIG_INVALID: [\s\S]*sim\.yaml:6[\s\S]*sped[\s\S]*sim\.yaml:7[\s\S]*rowsPerSecond/,
    );
    expect(wrong.output()).not.toMatch(/\n\s+at /);
  });
});
