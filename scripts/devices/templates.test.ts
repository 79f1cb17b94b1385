import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TemplateTag } from '@twinwatch/core/config/template-tag';
import type { Sample } from '@twinwatch/core/scada/sample';
import { loadSite } from '@twinwatch/edge-agent/site-config';
import { ModbusSource } from '@twinwatch/edge-agent/sources/modbus/modbus-source';
import { systemClock, systemTimers } from '@twinwatch/edge-agent/system-runtime';
import modbus from 'modbus-serial';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fromRepository } from '../processes/repository.js';

/** Every template of configs/devices, two devices of it on one bus, read from modbus-serial's own server. */

const DEVICES = fromRepository('configs/devices');
const files = readdirSync(DEVICES).filter((file) => file.endsWith('.yaml'));
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'twinwatch-templates-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Registers of a raw number, by Buffer's own writers and not by the codec under test. */
function words(raw: number, { type, byte_order: order }: TemplateTag): number[] {
  const bytes = Buffer.alloc(type.endsWith('64') ? 8 : type.endsWith('32') ? 4 : 2);
  if (type === 'FLOAT32') bytes.writeFloatBE(raw);
  else if (type === 'FLOAT64') bytes.writeDoubleBE(raw);
  else if (bytes.length === 8) bytes.writeBigInt64BE(BigInt(raw));
  else bytes.writeIntBE(raw, 0, bytes.length);
  if (order === 'DCBA' || order === 'BADC') bytes.swap16();
  const list = Array.from({ length: bytes.length / 2 }, (_, i) => bytes.readUInt16BE(i * 2));
  return order === 'CDAB' || order === 'DCBA' ? list.reverse() : list;
}

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

it('there are at least a dozen, of meters, drives, transmitters and controllers, each naming its source', () => {
  expect(files.length).toBeGreaterThanOrEqual(12);
  for (const kind of ['energy-meter-', 'vfd-', 'level-', 'flow-', 'plc-'])
    expect(files.filter((file) => file.startsWith(kind)).length, kind).toBeGreaterThan(1);
  for (const file of files) expect(readFileSync(join(DEVICES, file), 'utf8'), file).toMatch(/^source: .{20,}$/m);
});

describe.each(files)('%s', (file) => {
  it('reads what a device with its registers serves', async () => {
    const tables = { coil: new Map(), discrete: new Map(), input: new Map(), holding: new Map() } as Record<
      TemplateTag['register'],
      Map<number, number>
    >;
    const bit = (table: Map<number, number>) => (address: number) => table.get(address) === 1;
    const word = (table: Map<number, number>) => (address: number) => table.get(address) ?? 0;
    const port = await new Promise<{ close: () => Promise<void>; port: number }>((resolve, reject) => {
      const server = new modbus.ServerTCP(
        {
          getCoil: bit(tables.coil),
          getDiscreteInput: bit(tables.discrete),
          getInputRegister: word(tables.input),
          getHoldingRegister: word(tables.holding),
        } as ConstructorParameters<typeof modbus.ServerTCP>[0],
        { host: '127.0.0.1', port: 0, unitID: 255 },
      );
      const inner = (server as unknown as { _server: import('node:net').Server })._server;
      server.on('socketError', reject);
      server.on('initialized', () =>
        resolve({
          port: (inner.address() as { port: number }).port,
          close: () => new Promise((done) => server.close(() => done())),
        }),
      );
    });
    const device = (name: string, unit: number) =>
      `{ name: ${name}, unit: ${unit}, template: '${join(DEVICES, file)}' }`;
    writeFileSync(
      join(directory, 'agent.yaml'),
      `federation: f\nagent: a\nbroker: { url: mqtt://127.0.0.1:1 }\ndataDir: d\ninterval: 1s\nbuses:
  - url: tcp://127.0.0.1:${port.port}\n    devices: [${device('A', 1)}, ${device('B', 2)}]\n`,
    );
    const site = await loadSite(join(directory, 'agent.yaml'));
    const [a, b] = site.buses[0]!.devices;
    expect(new Set(site.tags).size).toBe(a!.template.tags.length + b!.template.tags.length);
    const expected = new Map<string, number>();
    for (const [i, tag] of a!.template.tags.entries()) {
      const raw = tag.type === 'BIT' ? i % 2 : (i % 40) + 1;
      expected.set(tag.name, raw * tag.scale + tag.offset);
      const table = tables[tag.register];
      if (tag.register === 'coil' || tag.register === 'discrete') table.set(tag.address, raw);
      else if (tag.type === 'BIT') table.set(tag.address, (table.get(tag.address) ?? 0) | (raw << (tag.bit ?? 0)));
      else for (const [at, one] of words(raw, tag).entries()) table.set(tag.address + at, one);
    }
    const stop = new AbortController();
    const samples = new Map<string, Sample>();
    const runtime = { clock: systemClock, timers: systemTimers, random: () => 0.5, log: silent };
    const source = new ModbusSource(site.buses[0]!.config, site.buses[0]!.devices, 0, 60_000, runtime);
    await source.start(stop.signal, {
      reading: (reading) => {
        for (const sample of reading.samples) samples.set(sample.tag, sample);
        if (reading.device === 'B') stop.abort();
      },
      fault: (_, fault) => {
        if (fault !== null) stop.abort(new Error(fault));
      },
    });
    await port.close();
    for (const [tag, value] of expected) {
      expect(samples.get(tag), tag).toMatchObject({ quality: 'good' });
      expect(samples.get(tag)!.value, tag).toBeCloseTo(value, 9);
      expect(samples.get(tag.replace('A_', 'B_'))!.value, tag).toBeCloseTo(value, 9);
    }
  });
});
