import type { Logger } from '@twinwatch/core/runtime';
import fc from 'fast-check';
import { systemClock, systemTimers } from '../../../system-runtime.js';
import type { ModbusBus } from '../bus.js';
import { openBus } from '../open-bus.js';
import type { ReadRequest } from '../requests.js';
import { anyFault, type Fault, type FaultyLine, faultyLine, type Line } from './faulty-line.js';
import { serialPortTo } from './serial-port-to.js';
import { bitCount, isTrue, type Protocol, type VersionedDevice, versionedDevice } from './versioned-device.js';

/** For tests: reads through a line with faults, each held against what the device really answered. */

/**
 * `silenceMs` is kept after every exchange on lines without transaction numbers; a second answer within it is noticed.
 * Another process carries the bytes of a serial port: what it is late by, nobody here sees, so the bound is wide and the faults keep away from it.
 */
const TIMING: Readonly<
  Record<Line, { readonly timeoutMs: number; readonly latestTimeouts: number; readonly silenceMs: number }>
> = {
  tcp: { timeoutMs: 50, latestTimeouts: 2.7, silenceMs: 0 },
  'rtu+tcp': { timeoutMs: 50, latestTimeouts: 2.7, silenceMs: 12 },
  'ascii+tcp': { timeoutMs: 50, latestTimeouts: 2.7, silenceMs: 12 },
  rtu: { timeoutMs: 100, latestTimeouts: 1.5, silenceMs: 60 },
};
/** Bus, line and device share this process. Where it was held up for longer, answers were later than any bound promises, and the run says nothing. */
const LONGEST_STALL_MS = 100;
const STALL_LOOK_MS = 5;
const RETRY_MS = 12;
const LONGEST_GAP_MS = 8;
const STEPS = 24;
/** A unit that owes nothing else than its last answer is believed again within these reads. */
const RECOVERY_READS = 300;

const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} };

interface Step {
  readonly unit: number;
  readonly request: ReadRequest;
}

export interface FaultedReads {
  reads: number;
  good: number;
  readonly injected: Map<Fault['kind'], number>;
  /** Runs during which the machine was too busy for their timing to mean anything; not counted in anything else. */
  stalled: number;
}

const anyStep = fc
  .record({
    unit: fc.integer({ min: 1, max: 3 }),
    table: fc.constantFrom('coil', 'discrete', 'holding', 'input'),
    address: fc.integer({ min: 0, max: 400 }),
    count: fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 125 })),
  })
  .map(
    ({ unit, table, address, count }): Step => ({ unit, request: { table, address, count: bitCount(table, count) } }),
  );

/** The same few reads over and over are what a poller does, and what makes answers look alike. */
const anySteps = fc.array(anyStep, { minLength: 1, maxLength: 3 });

/**
 * Runs until `injections` answers were tampered with, on `lines` lines at once.
 * @throws with the shrunk counterexample where a wrong value was called good, or a line did not recover.
 */
export async function faultedReads(kind: Line, injections: number, lines: number, seed: number): Promise<FaultedReads> {
  const { latestTimeouts } = TIMING[kind];
  const total: FaultedReads = { reads: 0, good: 0, injected: new Map(), stalled: 0 };
  let lookedMs = performance.now();
  let stalledMs = Number.NEGATIVE_INFINITY;
  const look = setInterval(() => {
    const nowMs = performance.now();
    if (nowMs - lookedMs > LONGEST_STALL_MS) stalledMs = nowMs;
    lookedMs = nowMs;
  }, STALL_LOOK_MS);
  const isStalledSince = (fromMs: number) => stalledMs >= fromMs || performance.now() - lookedMs > LONGEST_STALL_MS;
  const tampered = () => [...total.injected].reduce((sum, [kind, count]) => (kind === 'none' ? sum : sum + count), 0);
  const property = () =>
    fc.asyncProperty(
      anySteps,
      fc.array(anyFault(kind, latestTimeouts, LONGEST_GAP_MS), { minLength: 4, maxLength: 40 }),
      async (steps, faults) => {
        const fromMs = performance.now();
        const own: FaultedReads = { reads: 0, good: 0, injected: new Map(), stalled: 0 };
        const failure = await run(kind, steps, faults, own).then(
          () => null,
          (error: Error) => error,
        );
        if (isStalledSince(fromMs)) {
          total.stalled++;
          return;
        }
        if (failure !== null) throw failure;
        total.reads += own.reads;
        total.good += own.good;
        for (const [kind, count] of own.injected) total.injected.set(kind, (total.injected.get(kind) ?? 0) + count);
      },
    );
  const one = async (index: number) => {
    for (let round = 0; tampered() < injections; round++)
      await fc.assert(property(), { numRuns: 8, seed: seed + index * 10_007 + round, endOnFailure: true });
  };
  try {
    await Promise.all(Array.from({ length: lines }, (_, index) => one(index)));
  } finally {
    clearInterval(look);
  }
  return total;
}

const protocolOf = (kind: Line): Protocol => (kind === 'rtu' ? 'rtu+tcp' : kind);

async function run(kind: Line, steps: readonly Step[], faults: readonly Fault[], total: FaultedReads) {
  const protocol = protocolOf(kind);
  const { timeoutMs, silenceMs } = TIMING[kind];
  const device = await versionedDevice(protocol);
  const line = await faultyLine(protocol, device.port, timeoutMs);
  const port = kind === 'rtu' ? await serialPortTo(line.port) : null;
  const bus = openBus(
    {
      url: port === null ? `${protocol}://127.0.0.1:${line.port}` : `rtu://${port.path}?baudRate=115200`,
      timeoutMs,
      delayMs: silenceMs,
    },
    { clock: systemClock, timers: systemTimers, random: () => 0, log: quiet },
  );
  line.faults = faults;
  try {
    for (let i = 0; i < STEPS; i++) await read(bus, device, steps[i % steps.length]!, total);
    await recover(bus, device, line, steps[0]!, total);
  } finally {
    await bus.close();
    await port?.close();
    await line.close();
    await device.close();
    for (const [kind, count] of line.injected) total.injected.set(kind, (total.injected.get(kind) ?? 0) + count);
  }
}

/** True where the value was good, and right. */
async function read(bus: ModbusBus, device: VersionedDevice, { unit, request }: Step, total: FaultedReads) {
  const from = device.answered();
  total.reads++;
  try {
    const words = await bus.read(unit, request);
    if (!isTrue(words, unit, request, from, device.answered()))
      throw new Error(`wrong and called good: unit ${unit} ${JSON.stringify(request)} gave ${words.join(' ')}`);
    total.good++;
    return true;
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === undefined || !code.startsWith('MODBUS_')) throw error;
    // Who is told that a unit is not in step, or a line not open, comes back a little later.
    if (code === 'MODBUS_OUT_OF_STEP' || code === 'MODBUS_DISCONNECTED') await systemTimers.sleep('test', RETRY_MS);
    return false;
  }
}

/** A line that only ever refused would pass, too: once the faults are over it has to go on. */
async function recover(bus: ModbusBus, device: VersionedDevice, line: FaultyLine, step: Step, total: FaultedReads) {
  line.faults = [];
  for (let i = 0; i < RECOVERY_READS; i++) if (await read(bus, device, step, total)) return;
  throw new Error(`unit ${step.unit} is not believed again although the faults are over`);
}
