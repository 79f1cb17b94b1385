import { expect, vi } from 'vitest';
import { type DeviceScript, honest, tcpDevice } from '../sources/modbus/testing/scripted-device.js';
import type { AgentProcess } from './agent-process.js';

/** For tests: whether a device is read, and its rows stored, at the rate that was asked for, whatever happens beside it. */

export const within = { timeout: 25_000, interval: 20 };
const EVERY_MS = 50;
export const INTERVAL_MS = 100;
/** Of the rate that is asked for: a busy machine is late now and then, and a bus that waits gives nothing. */
const LEAST_SHARE = 0.5;

/** A device that keeps the time of every read. */
export async function timedDevice(script: DeviceScript = (request) => ({ pdu: honest(request) })) {
  const timesMs: number[] = [];
  const device = await tcpDevice((request) => {
    timesMs.push(Date.now());
    return script(request);
  });
  return { ...device, timesMs };
}

export const template = (...tags: string[]) =>
  `tags: [${tags.map((name, i) => `{ name: ${name}, register: holding, address: ${i}, type: UINT16 }`).join(', ')}]\n`;

/** Of one device, whose template has its name. */
export const bus = (url: string, name: string, rest = '') =>
  `  - { url: '${url}', ${rest}devices: [{ name: ${name}, unit: 1, template: ${name}.yaml }] }\n`;

export const agentFile = (buses: string, training = '{ enabled: false }') =>
  `interval: ${INTERVAL_MS}ms\npoll: { every: ${EVERY_MS}ms, lateAfter: 1s }\ntraining: ${training}\nbuses:\n${buses}`;

export const faultOf = (agent: AgentProcess, what: string) => agent.server.status?.health?.deviceFaults[what];

/**
 * Does the work, and holds the device's reads and the stored rows of that time to the rates that were asked for. The device's tag is the first of
 * the site. TWINWATCH_FIGURES=1 tells what they were.
 */
export async function goesOn(
  agent: AgentProcess,
  { timesMs }: { readonly timesMs: readonly number[] },
  work: () => Promise<void>,
): Promise<void> {
  await vi.waitFor(() => expect(timesMs.length).toBeGreaterThan(3), within);
  const before = timesMs.length;
  const fromMs = Date.now();
  await work();
  const toMs = Date.now();
  const read = timesMs.slice(before);
  const reads = read.length / ((toMs - fromMs) / EVERY_MS);
  // What has been waiting in memory needs its moment.
  await vi.waitFor(() => expect(agent.rows(toMs, Number.MAX_SAFE_INTEGER).count).toBeGreaterThan(3), within);
  const rows = agent.rows(fromMs, toMs).known / ((toMs - fromMs) / INTERVAL_MS);
  const longestMs = Math.max(...read.slice(1).map((timeMs, i) => timeMs - read[i]!));
  const figures = { test: expect.getState().currentTestName, ms: toMs - fromMs, reads, rows, longestMs };
  if (process.env.TWINWATCH_FIGURES !== undefined) process.stderr.write(`${JSON.stringify(figures)}\n`);
  expect(reads, 'share of the reads').toBeGreaterThan(LEAST_SHARE);
  expect(rows, 'share of the rows').toBeGreaterThan(LEAST_SHARE);
}
