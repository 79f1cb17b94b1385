import { readFile } from 'node:fs/promises';
import { agentSchema } from '@twinwatch/core/config/agent';
import { brokerSchema } from '@twinwatch/core/config/broker';
import { checkDeviceTemplate } from '@twinwatch/core/config/device-template';
import { invalidConfig, parseConfig } from '@twinwatch/core/config/load';
import { plantSimSchema } from '@twinwatch/core/config/plant-sim';
import { serverConfig } from '@twinwatch/core/config/server';
import { importCpa } from '@twinwatch/twin-server/twin/cpa/import-cpa';
import { CsvTwin } from '@twinwatch/twin-server/twin/csv-twin';
import { Hydraulics } from '@twinwatch/twin-server/twin/hydraulics';
import { loadPlant } from '@twinwatch/twin-server/twin/plant-config';
import { parseRecording } from '@twinwatch/twin-server/twin/recording';
import type { z } from 'zod';
import { draftOf, type ForeignFormat } from '../../devices/import-config.js';
import { draftFiles } from '../../devices/site-draft.js';
import { experimentSchema } from '../../experiments/runner/experiment-config.js';
import { configFile } from '../../processes/repository.js';
import { type FuzzTarget, HOSTILE_TEXTS, textOf, utf8 } from './target.js';

/** What a person writes, or hands over from another program. */

const shipped = async (...path: string[]) => [new Uint8Array(await readFile(configFile(...path)))];

function yaml(name: string, schema: z.ZodType, ...path: string[]): FuzzTarget {
  return {
    ...{ name, samples: () => shipped(...path), hostile: HOSTILE_TEXTS },
    decode: (bytes) => parseConfig(schema, textOf(bytes), path.at(-1) ?? name),
  };
}

const plantFile = configFile('reference-plant', 'plant.yaml');
const readText = (path: string) => readFile(path, 'utf8');

/** The reference plant with one of its files replaced. */
function plantWith(name: string, file: string): FuzzTarget {
  return {
    ...{ name, isSlow: true, samples: () => shipped('reference-plant', file), hostile: HOSTILE_TEXTS },
    decode: (bytes) =>
      loadPlant(plantFile, (path) => (path.endsWith(file) ? Promise.resolve(textOf(bytes)) : readText(path))),
  };
}

const imported = (format: ForeignFormat) => (bytes: Uint8Array) =>
  draftFiles(draftOf(format, textOf(bytes), 'a file', 'tcp://10.0.0.5:502'), 'test');

const TELEGRAF = `[[inputs.modbus]]
  name = "pumps"
  slave_id = 3
  controller = "tcp://10.0.0.5:502"
  holding_registers = [ { name = "Power", byte_order = "AB", data_type = "FIXED", scale = 0.1, address = [8] } ]
`;
const THINGSBOARD = JSON.stringify({
  master: {
    slaves: [
      {
        ...{
          host: '127.0.0.1',
          port: 5020,
          type: 'tcp',
          method: 'socket',
          unitId: 1,
          deviceName: 'Meter',
          timeout: 35,
        },
        timeseries: [{ tag: 'level', type: '32float', functionCode: 4, objectsCount: 2, address: 5 }],
      },
    ],
  },
});
const NEURON =
  'group,interval,node,tag,address,attribute,type,description,decimal,precision,bias\ng,1000,meter,power,1!40001,Read,UINT16,,0.1,0,0\n';
const CPA =
  '[CYBERNODES]\nPLC1, F_PU1, PU1 PU2\nPLC2, P_T1,\n[CYBERLINKS]\nPLC2,\tPLC1,\tP_T1\n[CYBERATTACKS]\nActuator, PU3, TIME==50, TIME==60, 0.8\n[CYBEROPTIONS]\nverbosity, 1\n';
const ROWS =
  'time,L_T1,label\n2026-01-01T00:00Z,1.5,0\n2026-01-01T00:15Z,2.5,1\n2026-01-01T00:30Z,2,0\n2026-01-01T00:45Z,2,0\n';

export const configTargets: readonly FuzzTarget[] = [
  yaml('agent configuration', agentSchema, 'examples', 'agent-sources.yaml'),
  yaml('server configuration', serverConfig, 'examples', 'server.yaml'),
  yaml('broker configuration', brokerSchema, 'examples', 'broker.yaml'),
  yaml('plant simulator configuration', plantSimSchema, 'examples', 'plant.yaml'),
  yaml('experiment', experimentSchema, 'experiments', 'fpf-gamma.yaml'),
  {
    ...{ name: 'device template', samples: () => shipped('devices', 'vfd-danfoss-fc.yaml'), hostile: HOSTILE_TEXTS },
    decode(bytes) {
      const { value, problems } = checkDeviceTemplate(textOf(bytes), 'device.yaml', null, {});
      if (value === null) throw invalidConfig('device.yaml', problems);
      return value;
    },
  },
  plantWith('plant', 'plant.yaml'),
  plantWith('attack catalogue', 'attacks.yaml'),
  {
    ...{ name: 'EPANET network', isSlow: true, samples: () => shipped('reference-plant', 'network.inp') },
    hostile: HOSTILE_TEXTS,
    async decode(bytes) {
      const hydraulics = await Hydraulics.open(textOf(bytes), 'network.inp');
      hydraulics.close();
    },
  },
  {
    ...{ name: 'epanetCPA attack', samples: async () => [utf8(CPA)], hostile: HOSTILE_TEXTS },
    decode: async (bytes) => importCpa(textOf(bytes), 'a.cpa', 'a', await loadPlant(plantFile, readText), 48),
    isSlow: true,
  },
  {
    ...{ name: 'simulated rows in CSV', samples: async () => [utf8(ROWS)], hostile: HOSTILE_TEXTS },
    decode: (bytes) =>
      CsvTwin.open({ text: textOf(bytes), fileName: 'rows.csv', timeColumn: 'time', labelColumn: 'label' }),
  },
  {
    ...{ name: 'recorded feed in CSV', samples: async () => [utf8(ROWS)], hostile: HOSTILE_TEXTS },
    decode: (bytes) => parseRecording(bytes, 'feed.csv', ['L_T1'], { delimiter: ',', columns: {}, dateOrder: 'auto' }),
  },
  {
    ...{ name: 'Telegraf configuration', samples: async () => [utf8(TELEGRAF)], hostile: HOSTILE_TEXTS },
    decode: imported('telegraf'),
  },
  {
    ...{ name: 'ThingsBoard configuration', samples: async () => [utf8(THINGSBOARD)], hostile: HOSTILE_TEXTS },
    decode: imported('thingsboard'),
  },
  {
    ...{ name: 'Neuron tags', samples: async () => [utf8(NEURON)], hostile: HOSTILE_TEXTS },
    decode: imported('neuron'),
  },
];
