import { setTimeout } from 'node:timers/promises';
import { deviceTemplateSchema } from '@twinwatch/core/config/device-template';
import { type DeviceReading, RowAssembler } from '@twinwatch/core/scada/row-assembler';
import { ModbusSource } from '@twinwatch/edge-agent/sources/modbus/modbus-source';
import { systemClock, systemTimers } from '@twinwatch/edge-agent/system-runtime';
import ModbusRTU from 'modbus-serial';
import type { PollEvent, PollReport, PollSpec } from './messages.js';

/** A process of its own that polls: with the agent's source up to the row, or with a bare loop. Started with a PollSpec as JSON, ended by a message. */

const REGISTERS_PER_READ = 124;

const spec = JSON.parse(process.argv[2] ?? '{}') as PollSpec;
const latencyMs: number[] = [];
const longestGapMs: Record<string, number> = {};
const readAtMs = new Map<number, number>();
const newest = new Map<number, number>();
let badSamples = 0;
const stop = new AbortController();
const tell = (event: PollEvent) => process.send?.(event);

/** Of each unit's last float, which is read last: when it changed is what it says. */
function seen(unit: number, value: number): void {
  const nowMs = performance.now();
  const beforeMs = readAtMs.get(unit);
  if (beforeMs !== undefined) longestGapMs[unit] = Math.max(longestGapMs[unit] ?? 0, nowMs - beforeMs);
  readAtMs.set(unit, nowMs);
  const known = newest.get(unit);
  if (known === value) return;
  newest.set(unit, value);
  if (known !== undefined) latencyMs.push(Date.now() - spec.originMs - value);
}

async function twinwatch(): Promise<void> {
  const units = Array.from({ length: spec.units }, (_, i) => i + 1);
  const devices = units.map((unit) => ({
    name: `U${unit}`,
    unit,
    template: deviceTemplateSchema.parse({
      tags: Array.from({ length: spec.floatsPerUnit }, (_, i) => ({
        name: `U${unit}_${i}`,
        register: 'holding',
        address: i * 2,
        type: 'FLOAT32',
      })),
    }),
  }));
  const assembler = new RowAssembler({
    devices: devices.map(({ name, template }) => ({
      name,
      tags: template.tags.map((tag) => tag.name),
      clocked: false,
    })),
    ...{ intervalMs: 1_000, lateAfterMs: 5_000, align: 'time', last: null },
  });
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const source = new ModbusSource(
    { url: spec.url, timeoutMs: spec.timeoutMs, retries: 2, delayMs: 0, devices: [] },
    devices,
    spec.everyMs,
    1e9,
    { clock: systemClock, timers: systemTimers, random: Math.random, log },
  );
  let isFirst = true;
  let wasFaulty = false;
  const reading = (one: DeviceReading) => {
    assembler.reading(one, performance.now());
    for (const { quality } of one.samples) if (quality !== 'good') badSamples++;
    seen(Number(one.device.slice(1)), one.samples.at(-1)!.value);
    if (isFirst || wasFaulty) tell({ kind: isFirst ? 'first-reading' : 'again', atMs: Date.now() });
    isFirst = false;
    wasFaulty = false;
  };
  const fault = (_device: string, what: string | null) => {
    if (what === null) return;
    wasFaulty = true;
    tell({ kind: 'fault', atMs: Date.now() });
  };
  const rows = setInterval(() => assembler.tick(performance.now(), Date.now()), 250);
  await source.start(stop.signal, { reading, fault });
  clearInterval(rows);
}

/** What a program without quality, deadlines of its own or reconnection does: read on, and turn registers into numbers. */
async function bare(): Promise<void> {
  const client = new ModbusRTU.default();
  const { hostname, port } = new URL(spec.url);
  await client.connectTCP(hostname, { port: Number(port) });
  client.setTimeout(spec.timeoutMs);
  const values = new Float64Array(spec.floatsPerUnit);
  tell({ kind: 'first-reading', atMs: Date.now() });
  while (!stop.signal.aborted) {
    for (let unit = 1; unit <= spec.units && !stop.signal.aborted; unit++) {
      client.setID(unit);
      for (let at = 0; at < spec.floatsPerUnit * 2; at += REGISTERS_PER_READ) {
        const count = Math.min(REGISTERS_PER_READ, spec.floatsPerUnit * 2 - at);
        const { buffer } = await client.readHoldingRegisters(at, count);
        for (let i = 0; i < count / 2; i++) values[at / 2 + i] = buffer.readFloatBE(i * 4);
      }
      seen(unit, values[values.length - 1]!);
    }
  }
  await new Promise<void>((resolve) => client.close(() => resolve()));
}

let cpuBefore = process.cpuUsage();
process.on('message', (what: string) => {
  if (what === 'begin') {
    cpuBefore = process.cpuUsage();
    latencyMs.length = 0;
    for (const unit of Object.keys(longestGapMs)) delete longestGapMs[unit];
    return;
  }
  const { user, system } = process.cpuUsage(cpuBefore);
  const report: PollReport = {
    ...{ kind: 'report', cpuMicroseconds: user + system, rssBytes: process.memoryUsage.rss() },
    ...{ latencyMs, longestGapMs, badSamples },
  };
  process.send?.(report);
  stop.abort();
});
process.on('disconnect', () => process.exit(0));
await (spec.how === 'twinwatch' ? twinwatch() : bare());
await setTimeout(50);
process.exit(0);
