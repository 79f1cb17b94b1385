import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { markdownTable } from '../../experiments/summary.js';
import { LoadClient } from './load-client.js';
import { BROKERS, type MeasuredBroker, REFERENCE } from './measured-brokers.js';

export interface BenchBrokerOptions {
  /** Of one measurement. */
  readonly seconds: number;
  readonly repetitions: number;
}

interface Load {
  readonly name: string;
  readonly qos: 0 | 1;
  /** Whether subscribers have a session on disk. */
  readonly keepsSession: boolean;
  readonly subscribers: number;
  readonly payloadBytes: number;
  /** Messages that are on their way at once. */
  readonly window: number;
}

interface Measured {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const LOADS: readonly Load[] = [
  { name: 'telemetry: QoS 0', qos: 0, keepsSession: false, subscribers: 1, payloadBytes: 200, window: 100 },
  { name: 'QoS 0 to 20', qos: 0, keepsSession: false, subscribers: 20, payloadBytes: 200, window: 10 },
  { name: 'alarms: QoS 1, session', qos: 1, keepsSession: true, subscribers: 1, payloadBytes: 300, window: 50 },
  { name: 'a transfer: QoS 1, session', qos: 1, keepsSession: true, subscribers: 1, payloadBytes: 4_096, window: 1 },
];
const WARM_UP_MS = 500;
const TIME_BYTES = 8;

/** Messages per second and the time from publisher to subscriber, of the embedded broker and of mosquitto in turn, in one run. */
export async function benchBroker({ seconds, repetitions }: BenchBrokerOptions): Promise<void> {
  console.log(`${cpus()[0]?.model.trim() ?? 'processor'} (${availableParallelism()} cores), Node ${process.version}`);
  if (REFERENCE === null) console.log('mosquitto is not installed: there is nothing to compare with');
  const directory = await mkdtemp(join(tmpdir(), 'twinwatch-bench-'));
  const results = new Map<string, Measured[]>();
  const names: string[] = [];
  try {
    for (let repetition = 0; repetition < repetitions; repetition++) {
      for (const [index, start] of BROKERS.entries()) {
        const broker = await start(join(directory, `${repetition}-${index}`));
        if (repetition === 0) names.push(broker.name);
        try {
          for (const load of LOADS) {
            const key = `${load.name}/${broker.name}`;
            results.set(key, [...(results.get(key) ?? []), await measure(broker, load, seconds * 1_000)]);
          }
        } finally {
          broker.stop();
        }
      }
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  const rows = LOADS.flatMap((load) =>
    names.map((name) => {
      const of = (broker: string, figure: keyof Measured) =>
        median((results.get(`${load.name}/${broker}`) ?? []).map((one) => one[figure]));
      const figures = (['perSecond', 'p50Ms', 'p99Ms'] as const).map((figure) => of(name, figure));
      const ratio = REFERENCE === null ? Number.NaN : of(name, 'perSecond') / of(REFERENCE, 'perSecond');
      return [
        load.name,
        name,
        figures[0]!.toFixed(0),
        ...figures.slice(1).map((ms) => ms.toFixed(2)),
        Number.isNaN(ratio) ? '–' : ratio.toFixed(2),
      ];
    }),
  );
  console.log(markdownTable(['load', 'broker', 'messages/s', 'p50 ms', 'p99 ms', 'of what mosquitto carries'], rows));
  console.log(
    `medians of ${repetitions} × ${seconds} s, brokers in turn; one publisher, messages counted once however many get them; limits on messages per second lifted`,
  );
}

async function measure({ port }: MeasuredBroker, load: Load, forMs: number): Promise<Measured> {
  const { qos, keepsSession, subscribers, payloadBytes, window } = load;
  const publisher = await LoadClient.open(port, 'publisher', false);
  const latenciesMs: number[] = [];
  let [countedFromMs, arrived, isOver] = [Number.POSITIVE_INFINITY, 0, false];
  const send = () => {
    const payload = Buffer.alloc(payloadBytes);
    payload.writeDoubleBE(performance.now());
    publisher.publish('bench/load', payload, qos);
  };
  const onMessage = (payload: Buffer) => {
    if (++arrived % subscribers !== 0 || isOver) return;
    const sentMs = payload.subarray(0, TIME_BYTES).readDoubleBE();
    if (sentMs >= countedFromMs) latenciesMs.push(performance.now() - sentMs);
    send();
  };
  const listening: LoadClient[] = [];
  for (let i = 0; i < subscribers; i++) {
    const client = await LoadClient.open(port, `subscriber-${i}`, keepsSession, onMessage);
    await client.subscribe('bench/load', qos);
    listening.push(client);
  }
  for (let i = 0; i < window; i++) send();
  await setTimeout(WARM_UP_MS);
  countedFromMs = performance.now();
  await setTimeout(forMs);
  const perSecond = (latenciesMs.length * 1_000) / (performance.now() - countedFromMs);
  isOver = true;
  await setTimeout(100);
  for (const client of [publisher, ...listening]) client.close();
  latenciesMs.sort((a, b) => a - b);
  const quantile = (share: number) => latenciesMs[Math.floor(share * (latenciesMs.length - 1))] ?? Number.NaN;
  return { perSecond, p50Ms: quantile(0.5), p99Ms: quantile(0.99) };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? Number.NaN;
}
