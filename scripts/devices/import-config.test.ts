import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadSite } from '@twinwatch/edge-agent/site-config';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readNeuron } from './import/neuron.js';
import { readTelegraf } from './import/telegraf.js';
import { readThingsBoard } from './import/thingsboard.js';
import { draftFiles, type SiteDraft } from './site-draft.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'twinwatch-import-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** What an agent makes of a draft's files: 'device unit table address type order scale' of each tag. */
async function taken(draft: SiteDraft) {
  const { files, notes } = draftFiles(draft, 'test');
  for (const [name, text] of files) writeFileSync(join(directory, name), text);
  const { buses } = await loadSite(join(directory, 'agent.yaml'));
  const tags = buses.flatMap(({ devices }) =>
    devices.flatMap(({ name, unit, template }) =>
      template.tags.map(
        (tag) =>
          `${name} ${unit} ${tag.name}: ${tag.register} ${tag.address}${tag.bit === undefined ? '' : `.${tag.bit}`} ${tag.type} ${tag.byte_order} ${tag.scale} ${tag.offset}`,
      ),
    ),
  );
  return { buses, tags, notes };
}

describe('Telegraf', () => {
  it('takes over all three styles, and says what it leaves out', async () => {
    const { buses, tags, notes } = await taken(
      readTelegraf(`
[[inputs.cpu]]
  percpu = true
[[inputs.modbus]]
  name = "Pump house"
  slave_id = 3
  timeout = "1500ms"
  interval = "1m30s"
  controller = "tcp://10.0.0.5:1502"
  fieldpass = ["a"]
  coils = [ { name = "Motor1-Run", address = [0] } ]
  holding_registers = [
    { name = "Power", byte_order = "AB", data_type = "FIXED", scale = 0.1, address = [8] },
    { name = "Energy", byte_order = "CDAB", data_type = "FLOAT32", scale = 0.001, address = [5, 6] },
    { name = "Level", byte_order = "ABCD", data_type = "FLOAT32-IEEE", scale = 1.0, address = [20, 21] },
    { name = "again", byte_order = "AB", data_type = "UINT16", scale = 1.0, address = [21] },
    { name = "Fault", byte_order = "AB", data_type = "BIT", scale = 1.0, address = [30, 3] },
    { name = "odd", byte_order = "AB", data_type = "DECIMAL", scale = 1.0, address = [31] } ]
[[inputs.modbus]]
  name = "meters"
  controller = "file:///dev/ttyUSB0"
  baud_rate = 19200
  parity = "E"
  transmission_mode = "RTU"
  configuration_type = "request"
  [[inputs.modbus.request]]
    slave_id = 1
    byte_order = "DCBA"
    register = "input"
    fields = [ { address = 0, name = "V", type = "FLOAT32" }, { address = 2, name = "skip", type = "INT16", omit = true } ]
  [[inputs.modbus.request]]
    slave_id = 2
    register = "holding"
    fields = [ { address = 0, name = "V", type = "INT16", scale = 0.1 } ]
[[inputs.modbus]]
  name = "metric"
  controller = "tcp://10.0.0.5:1502"
  configuration_type = "metric"
  [[inputs.modbus.metric]]
    slave_id = 4
    byte_order = "CDAB"
    fields = [ { register = "input", address = 7, name = "F", type = "UINT64" } ]
`),
    );
    expect(tags).toEqual([
      'Pump_house 3 Motor1-Run: coil 0 BIT ABCD 1 0',
      'Pump_house 3 Power: holding 8 INT16 ABCD 0.1 0',
      'Pump_house 3 Energy: holding 5 UINT32 CDAB 0.001 0',
      'Pump_house 3 Level: holding 20 FLOAT32 ABCD 1 0',
      'Pump_house 3 Fault: holding 30.3 BIT ABCD 1 0',
      'metric 4 F: input 7 UINT64 CDAB 1 0',
      'meters_1 1 V: input 0 FLOAT32 DCBA 1 0',
      'meters_2 2 meters_2_V: holding 0 INT16 ABCD 0.1 0',
    ]);
    expect(buses.map(({ config }) => [config.url, config.timeoutMs])).toEqual([
      ['tcp://10.0.0.5:1502', 1_500],
      ['rtu:///dev/ttyUSB0?baudRate=19200&parity=even', 1_000],
    ]);
    expect(buses[0]!.devices[0]!.template.tags[0]).toMatchObject({ interval: 90_000 });
    expect(notes).toEqual([
      'inputs.cpu is not taken over',
      "Pump house: 'fieldpass' is not taken over",
      "Pump house: 'odd' is left out: type 'DECIMAL' at address '31' is not known here",
      "Pump_house: 'again' is left out: holding 21 overlaps Level at 20–21",
    ]);
  });
});

describe('ThingsBoard Gateway', () => {
  it('takes over slaves with their orders and factors', async () => {
    const slave = {
      ...{
        type: 'tcp',
        method: 'socket',
        host: '10.0.0.6',
        port: 5021,
        timeout: 3,
        unitId: 1,
        deviceName: 'Temp Sensor',
      },
      ...{ byteOrder: 'BIG', wordOrder: 'LITTLE', pollPeriod: 5_000 },
      attributes: [{ tag: 'serial', type: 'string', functionCode: 4, objectsCount: 4, address: 40 }],
      timeseries: [
        { tag: 'T', type: '32float', functionCode: 3, objectsCount: 2, address: 2, divider: 10 },
        { tag: 'n', type: 'int', functionCode: 4, objectsCount: 1, address: 8, multiplier: 3 },
        { tag: 'on', type: 'bits', functionCode: 1, objectsCount: 2, address: 0 },
        { tag: 'w', type: '16int', functionCode: 6, objectsCount: 1, address: 9 },
        { tag: 'fourth', type: 'bits', functionCode: 2, objectsCount: 8, address: 16, bit: 3 },
        { tag: 'status', type: 'bits', functionCode: 3, objectsCount: 3, address: 20 },
        { tag: 'fault', type: 'bits', functionCode: 3, objectsCount: 16, address: 21, bit: 9 },
        { tag: 'many', type: 'bits', functionCode: 3, objectsCount: 17, address: 22 },
      ],
      rpc: [{ tag: 'set', type: 'bits', functionCode: 5, address: 3 }],
    };
    const { deviceName: _, byteOrder: __, ...other } = slave;
    const serial = {
      ...{ ...other, type: 'serial', method: 'rtu', port: '/dev/ttyS1', baudrate: 4_800, unitId: 2, rpc: [] },
      timeseries: [{ tag: 'T', type: '32uint', functionCode: 3, objectsCount: 2, address: 2 }],
      attributes: [],
    };
    const { buses, tags, notes } = await taken(
      readThingsBoard(JSON.stringify({ master: { slaves: [slave, serial] } })),
    );
    expect(tags).toEqual([
      'Temp_Sensor 1 serial: input 40 STRING ABCD 1 0',
      'Temp_Sensor 1 T: holding 2 FLOAT32 CDAB 0.1 0',
      'Temp_Sensor 1 n: input 8 INT16 CDAB 3 0',
      'Temp_Sensor 1 on_0: coil 0 BIT ABCD 1 0',
      'Temp_Sensor 1 on_1: coil 1 BIT ABCD 1 0',
      'Temp_Sensor 1 fourth: discrete 19 BIT ABCD 1 0',
      'Temp_Sensor 1 status_0: holding 20.0 BIT ABCD 1 0',
      'Temp_Sensor 1 status_1: holding 20.1 BIT ABCD 1 0',
      'Temp_Sensor 1 status_2: holding 20.2 BIT ABCD 1 0',
      'Temp_Sensor 1 fault: holding 21.9 BIT ABCD 1 0',
      'device-2 2 device-2_T: holding 2 UINT32 DCBA 1 0',
    ]);
    expect(buses.map(({ config }) => [config.url, config.timeoutMs])).toEqual([
      ['tcp://10.0.0.6:5021', 3_000],
      ['rtu:///dev/ttyS1?baudRate=4800', 3_000],
    ]);
    expect(notes).toEqual([
      "Temp Sensor: 'rpc' would write to the device, and is not taken over",
      "Temp Sensor: 'on' are 2 bits; they become 2 tags",
      "Temp Sensor: 'w' is left out: function code 6 is no read",
      "Temp Sensor: 'status' are 3 bits of a register; they become 3 tags, status_0 the lowest bit. The gateway's own order differs between its releases: compare them",
      "Temp Sensor: 'many' is left out: a register has 16 bits, not 17",
      'device-2: gives no byteOrder, which the gateway takes as LITTLE; so values of several registers are read as DCBA: compare them',
    ]);
  });
});

it('leaves out what no agent could take, and says so', async () => {
  const slave = (deviceName: string, unitId: number, objectsCount: number) => ({
    ...{ type: 'tcp', host: 'h', port: 502, unitId, deviceName, timeout: 1e6, byteOrder: 'BIG', wordOrder: 'BIG' },
    timeseries: [
      { tag: 'on', type: 'bits', functionCode: 1, objectsCount, address: 0 },
      { tag: 'v', type: '16int', functionCode: 3, objectsCount: 1, address: 4 },
    ],
  });
  const { buses, tags, notes } = await taken(
    readThingsBoard(JSON.stringify({ master: { slaves: [slave('A', 1, 1e9), slave('B', 300, 1)] } })),
  );
  expect(tags).toEqual(['A 1 v: holding 4 INT16 ABCD 1 0']);
  expect(buses[0]!.config.timeoutMs).toBe(60_000);
  expect(notes).toEqual([
    "A: 'on' is left out: 1000000000 bits cannot be read at once",
    'B: left out, 300 is no unit id',
  ]);
});

describe('Neuron', () => {
  it('takes over references, bits, byte orders, letters, factor and bias', async () => {
    const { tags, notes } = await taken(
      readNeuron(
        `group,name,address,attribute,type,description,decimal,precision,bias
g,level,1!400001,Read,float,,,,
g,flow,1!400003#BL,Read Subscribe,FLOAT,,0.1,2,5
g,run,1!000001,Read Write,BIT,,,,
g,fault,2!400010.4,Read,bit,,,,
g,old,2!30005#BB,Read,uint32,,,,
g,serial,2!400020.6H,Read,string,,,,
g,bad,2!x,Read,int16,,,,
g,time,2!400030,Read,time,,,,
`,
        'tcp://10.0.0.7:502',
      ),
    );
    expect(tags).toEqual([
      'unit-1 1 g_level: holding 0 FLOAT32 ABCD 1 0',
      'unit-1 1 g_flow: holding 2 FLOAT32 CDAB 0.1 5',
      'unit-1 1 g_run: coil 0 BIT ABCD 1 0',
      'unit-2 2 g_fault: holding 9.4 BIT ABCD 1 0',
      'unit-2 2 g_old: input 4 UINT32 DCBA 1 0',
      'unit-2 2 g_serial: holding 19 STRING ABCD 1 0',
    ]);
    expect(notes).toEqual([
      "'bad' is left out: '2!x' is no address of a Modbus driver",
      "'time' is left out: type 'time' is not known here",
      'attribute Write is not taken over: values are only read',
    ]);
  });
});
