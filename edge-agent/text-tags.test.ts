import { afterEach, expect, it, vi } from 'vitest';
import { type DeviceAnswer, honest } from './sources/modbus/testing/scripted-device.js';
import { startAgent } from './testing/agent-process.js';
import { agentFile, bus, template, timedDevice, within } from './testing/rate-of-reads.js';

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

it('letters of a device go into telemetry, when they change and no longer than it answers, and into no row', async () => {
  let mode = 'AUTO';
  let isSilent = false;
  const letters = await timedDevice((request): DeviceAnswer => {
    if (isSilent) return 'silence';
    const pdu = honest(request);
    if (request.address === 40) pdu.fill(0, 2).write(mode, 2, 'latin1');
    return { pdu };
  });
  const other = await timedDevice();
  cleanUps.push(letters.close, other.close);
  const text = '  - { name: mode, register: holding, address: 40, type: STRING, length: 8 }\n';
  const agent = await startAgent({
    agent: `${agentFile(
      bus(`tcp://127.0.0.1:${other.port}`, 'OTHER') + bus(`tcp://127.0.0.1:${letters.port}`, 'PLC', 'timeoutMs: 500, '),
    )}telemetry: { everyMs: 100 }\n`,
    files: {
      'OTHER.yaml': template('level'),
      'PLC.yaml': `tags:\n  - { name: speed, register: holding, address: 0, type: UINT16 }\n${text}`,
    },
  });
  cleanUps.push(() => agent.stop());
  const { server } = agent;
  const told = (value: object) => vi.waitFor(() => expect(server.telemetry?.values.mode).toEqual(value), within);
  await told({ value: null, quality: 'good', text: 'AUTO' });
  expect(server.telemetry!.values.level).toMatchObject({ quality: 'good', value: 1_000 });
  expect(server.newest('hello')?.tags).toEqual(['level', 'speed']);
  mode = 'MANUAL';
  await told({ value: null, quality: 'good', text: 'MANUAL' });
  isSilent = true;
  await told({ value: null, quality: 'stale' });
  isSilent = false;
  await told({ value: null, quality: 'good', text: 'MANUAL' });
}, 60_000);
