import { agentSchema } from '@twinwatch/core/config/agent';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import { expect, it } from 'vitest';
import type { WriteRequest } from '../sources/modbus/requests.js';
import { AlarmOutputs } from './alarm-outputs.js';

const BASE = {
  ...{ federation: 'f', agent: 'a', broker: { url: 'mqtt://b:1' }, dataDir: 'd', interval: '1s' },
  buses: [{ url: 'tcp://plc:502', devices: [{ name: 'PLC', template: 'plc.yaml' }] }],
};
const event = (alarmId: string, transition: AlarmEvent['transition'], isCommunication = false): AlarmEvent => ({
  ...{ eventId: `${alarmId}:1`, alarmId, agent: 'a', transition, atMs: 0, score: 1, threshold: 1, modelVersion: 'm' },
  ...{ contributions: [], latencyMs: 0 },
  ...(isCommunication ? { communication: { tags: [], reason: '' } } : {}),
});

function outputs(alarmOutputs: object[], failures = 0) {
  const written: [string, WriteRequest][] = [];
  const said: string[] = [];
  const log = { debug() {}, info: (_: object, text: string) => said.push(text), warn() {}, error() {} };
  const made = new AlarmOutputs({
    outputs: agentSchema.parse({ ...BASE, alarmOutputs }).alarmOutputs,
    write: async (device, request) => {
      if (failures-- > 0) throw new Error('MODBUS_TIMEOUT');
      written.push([device, request]);
    },
    timers: { sleep: async () => undefined, after: () => () => undefined },
    log,
  });
  return { made, written, said };
}
const signal = new AbortController().signal;

it('writes nothing unless that is asked for, and says what it would write', async () => {
  const { made, written, said } = outputs([{ device: 'PLC', register: 'coil', address: 5 }]);
  await made.onAlarm(event('a:1', 'raised'), signal);
  expect(written).toEqual([]);
  expect(said).toEqual(['alarm output (dry run): this would be written']);
});

it('follows the alarms it is told to, until the last of them is over, and tries until the device confirms', async () => {
  const { made, written } = outputs(
    [
      { device: 'PLC', register: 'coil', address: 5, on: 'any', dryRun: false },
      { device: 'PLC', register: 'holding', address: 9, raised: 700, cleared: 3, dryRun: false },
    ],
    3,
  );
  await made.onAlarm(event('a:1', 'raised'), signal);
  await made.onAlarm(event('a:1', 'acknowledged'), signal);
  await made.onAlarm(event('a:c1', 'raised', true), signal);
  await made.onAlarm(event('a:1', 'cleared'), signal);
  await made.onAlarm(event('a:c1', 'cleared', true), signal);
  const values = (address: number) =>
    written.filter(([, request]) => request.address === address).map(([, { words }]) => words[0]);
  expect(values(5)).toEqual([1, 1, 1, 0]);
  expect(values(9)).toEqual([700, 3]);
});

it('goes on after a restart with the alarms that were on', async () => {
  const { made, written } = outputs([{ device: 'PLC', register: 'coil', address: 5, on: 'any', dryRun: false }]);
  made.resume({ anomaly: 'a:1', communication: 'a:c1' });
  await made.onAlarm(event('a:c1', 'cleared', true), signal);
  await made.onAlarm(event('a:1', 'cleared'), signal);
  expect(written.map(([, { words }]) => words[0])).toEqual([1, 0]);
});

it('refuses an output on a device that is not there', () => {
  const wrong = agentSchema.safeParse({ ...BASE, alarmOutputs: [{ device: 'PLX', register: 'coil', address: 1 }] });
  expect(wrong.error?.issues[0]).toMatchObject({ path: ['alarmOutputs', 0, 'device'] });
});
