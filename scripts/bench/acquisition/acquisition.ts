import { availableParallelism, cpus } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import { type Device, startDevice, startPoller } from './children.js';
import { deadUnit, unplugged } from './faults.js';
import { measureAgent } from './whole-agent.js';

export interface BenchAcquisitionOptions {
  /** Of one measurement. */
  readonly seconds: number;
  readonly repetitions: number;
}

const SIZES = [
  { tags: 1_000, units: 1 },
  { tags: 10_000, units: 4 },
  { tags: 50_000, units: 10 },
];
const WARM_UP_MS = 1_500;
const LONGEST_START_MS = 60_000;
/** Of a bare loop's tags per second, with quality, deadlines and rows on top. */
const REQUIRED_RATIO = 0.8;
const REQUIRED_TAGS_PER_SECOND = 10_000;
const ALLOWED_RSS_BYTES = 200 * 1024 * 1024;
const ALLOWED_RECOVERY_MS = 10_000;

interface Measured {
  readonly tagsPerSecond: number;
  /** Of one core. */
  readonly cpuShare: number;
  readonly rssBytes: number;
  readonly latencyMs: readonly number[];
  readonly badSamples: number;
}

/**
 * How fast tags are read over Modbus TCP, counted by the device, against a bare modbus-serial loop in the same run; what a dead unit costs, how soon an unplugged line
 * is back, and what the whole agent needs at 10,000 tags a second. Resolves with the exit code: 1 where a goal is missed.
 */
export async function benchAcquisition({ seconds, repetitions }: BenchAcquisitionOptions): Promise<number> {
  console.log(`${cpus()[0]?.model.trim() ?? 'processor'} (${availableParallelism()} cores), Node ${process.version}`);
  console.log(
    '\nfloat32 tags, as fast as they can be read, on one connection; tags per second as the device counts them',
  );
  const missed: string[] = [];
  for (const size of SIZES) {
    const ratio = await compare(size, seconds * 1_000, repetitions);
    if (ratio < REQUIRED_RATIO) missed.push(`${size.tags} tags at ${ratio.toFixed(2)} of the bare loop`);
  }
  const agent = await measureAgent(REQUIRED_TAGS_PER_SECOND, Math.max(10, 2 * seconds));
  console.log(
    `\nthe whole agent, every tag once a second, no broker to be reached: ${Math.round(agent.tagsPerSecond)} tags/s, ${megabytes(agent.rssBytes)} MB RSS, ${percent(agent.cpuShare)} of a core`,
  );
  if (agent.tagsPerSecond < 0.99 * REQUIRED_TAGS_PER_SECOND) missed.push('10,000 tags/s');
  if (agent.rssBytes > ALLOWED_RSS_BYTES) missed.push('200 MB RSS');
  if (!(await deadUnit(seconds))) missed.push('one timeout per probe of a dead unit');
  const recoveryMs = await unplugged();
  if (recoveryMs !== null && recoveryMs > ALLOWED_RECOVERY_MS) missed.push('recovery within 10 s');
  console.log(missed.length === 0 ? '\nall goals met' : `\nmissed: ${missed.join('; ')}`);
  return missed.length === 0 ? 0 : 1;
}

async function compare(size: { tags: number; units: number }, ms: number, repetitions: number): Promise<number> {
  const floatsPerUnit = size.tags / size.units;
  const originMs = Date.now();
  const device = await startDevice({ framing: 'tcp', units: size.units, floatsPerUnit, deadUnit: 0, originMs });
  const runs: { bare: Measured; ours: Measured }[] = [];
  for (let i = 0; i < repetitions; i++) {
    const one = (how: 'bare' | 'twinwatch') => poll(device, { how, units: size.units, floatsPerUnit, originMs }, ms);
    const bare = await one('bare');
    runs.push({ bare, ours: await one('twinwatch') });
  }
  device.stop();
  const ratio = median(runs.map(({ bare, ours }) => ours.tagsPerSecond / bare.tagsPerSecond));
  for (const [name, of] of [
    ['bare', (run: (typeof runs)[number]) => run.bare],
    ['twinwatch', (run: (typeof runs)[number]) => run.ours],
  ] as const) {
    const all = runs.map(of);
    const latency = all.flatMap(({ latencyMs }) => latencyMs).sort((a, b) => a - b);
    console.log(
      `${String(size.tags).padStart(6)} ${name.padEnd(9)} ${String(Math.round(median(all.map((run) => run.tagsPerSecond)))).padStart(7)} tags/s, ` +
        `change to sample p50 ${quantile(latency, 0.5)} ms, p99 ${quantile(latency, 0.99)} ms, ` +
        `${percent(median(all.map((run) => run.cpuShare)))} of a core, ${megabytes(Math.max(...all.map((run) => run.rssBytes)))} MB RSS`,
    );
  }
  const bad = runs.reduce((sum, { ours }) => sum + ours.badSamples, 0);
  console.log(
    `${String(size.tags).padStart(6)} ratio ${ratio.toFixed(2)} (median of ${repetitions}), ${bad} bad samples`,
  );
  return ratio;
}

async function poll(
  device: Device,
  spec: { how: 'bare' | 'twinwatch'; units: number; floatsPerUnit: number; originMs: number },
  ms: number,
): Promise<Measured> {
  const poller = startPoller({ ...spec, url: `tcp://127.0.0.1:${device.port}`, everyMs: 0, timeoutMs: 2_000 });
  await poller.next('first-reading', LONGEST_START_MS);
  await setTimeout(WARM_UP_MS);
  const before = await device.counts();
  const startedMs = performance.now();
  poller.begin();
  await setTimeout(ms);
  const after = await device.counts();
  const seconds = (performance.now() - startedMs) / 1_000;
  const { cpuMicroseconds, rssBytes, latencyMs, badSamples } = await poller.report();
  await setTimeout(200);
  return {
    tagsPerSecond: (after.registers - before.registers) / 2 / seconds,
    cpuShare: cpuMicroseconds / 1e6 / seconds,
    ...{ rssBytes, latencyMs, badSamples },
  };
}

const megabytes = (bytes: number) => Math.round(bytes / 1024 / 1024);
const percent = (share: number) => `${Math.round(share * 100)} %`;

function quantile(sorted: readonly number[], share: number): number {
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
