import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { startBroker } from '@twinwatch/broker/broker';
import { createRandom } from '@twinwatch/core/learning/random';
import { encodeEnvelope } from '@twinwatch/core/wire/envelope';
import type { Update } from '@twinwatch/core/wire/messages';
import { encodeStoredUpdate } from '@twinwatch/edge-agent/federation/stored-update';
import { announceModel, FEDERATION, openAgent, openServer, type TestAgent } from '../federation-test/bed.js';
import { openLine } from '../federation-test/line.js';
import { systemClock } from '../processes/node-runtime.js';

const BYTES_PER_SECOND = 64_000 / 8;
const TRANSFER_BYTES = 1_000_000;
/** That waited while the agent was away, and are sent when it comes. */
const OLD_EVENTS = 500;
const BETWEEN_ALARMS_MS = 700;
const TELEMETRY_EVERY_MS = 1_000;
const REQUIRED_P99_MS = 2_000;
const AGENT = 'site-1';
const LOG = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/**
 * How long an alarm takes from the agent to the server that has journalled it, over 64 kbit/s each way, while 1 MB goes up and 1 MB comes
 * down, telemetry is on, and first a thousand old events follow. Resolves with the exit code: 1 where the 99th percentile is above 2 s.
 */
export async function benchAlarms(): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'twinwatch-bench-alarms-'));
  const random = createRandom('bench alarms');
  const broker = await startBroker({
    ...{ host: '127.0.0.1', port: 0, dataDir: join(directory, 'broker'), clock: systemClock, log: LOG },
  });
  const arrivedAtMs = new Map<string, number>();
  const server = openServer({
    ...{ port: broker.port, directory, log: LOG },
    onAlarm: ({ eventId }) => void arrivedAtMs.set(eventId, performance.now()),
  });
  const line = await openLine(broker.port, { bytesPerSecond: BYTES_PER_SECOND }, () => random.next());
  const site = join(directory, 'site');
  await fillAgent(site, line.port);
  const agent = await openAgent({
    ...{ agent: AGENT, port: line.port, directory: site, log: LOG, firstAlarm: OLD_EVENTS },
    rest: { telemetryEveryMs: TELEMETRY_EVERY_MS },
  });
  const model = randomBytes(TRANSFER_BYTES);
  await announceModel(broker.port, server.journal.putBlob(model));

  const raisedAtMs = new Map<string, number>();
  const queueMs: number[] = [];

  const traffic = () => ({
    up: agent.federation.link.traffic.out.up?.bytes ?? 0,
    down: agent.federation.link.traffic.in.down?.bytes ?? 0,
  });
  const startedMs = performance.now();
  const rows = setInterval(() => void agent.row(), TELEMETRY_EVERY_MS);
  while (Math.min(traffic().up, traffic().down) < TRANSFER_BYTES && performance.now() - startedMs < 300_000) {
    await new Promise((resolve) => setTimeout(resolve, BETWEEN_ALARMS_MS * 2 * random.next()));
    const { eventId } = agent.raise();
    raisedAtMs.set(eventId, performance.now());
    queueMs.push(line.queueMs());
  }
  clearInterval(rows);
  const seconds = (performance.now() - startedMs) / 1_000;
  for (let tries = 0; tries < 600 && [...raisedAtMs.keys()].some((id) => !arrivedAtMs.has(id)); tries++)
    await new Promise((resolve) => setTimeout(resolve, 100));
  const { up, down } = traffic();
  const tookMs = [...raisedAtMs]
    .map(([id, atMs]) => (arrivedAtMs.get(id) ?? Number.POSITIVE_INFINITY) - atMs)
    .sort((a, b) => a - b);
  const [took, queued] = [tookMs, queueMs.sort((a, b) => a - b)].map(
    (of) => (share: number) => (of[Math.min(of.length - 1, Math.floor(share * of.length))] ?? Number.NaN).toFixed(0),
  ) as [(share: number) => string, (share: number) => string];
  const old = server.alarms.filter(({ eventId }) => !raisedAtMs.has(eventId)).length;
  console.log(
    `${seconds.toFixed(0)} s at 64 kbit/s each way: ${kilo(up)} kB of an update up, ${kilo(down)} kB of a model down, ${old} of ${OLD_EVENTS} old events, ${server.telemetry.length} telemetry messages`,
  );
  console.log(
    `${tookMs.length} alarms, from raised to journalled: p50 ${took(0.5)} ms, p90 ${took(0.9)} ms, p99 ${took(0.99)} ms, longest ${took(1)} ms; p99 required ${REQUIRED_P99_MS} ms`,
  );
  console.log(
    `of that, behind what was on the line before: p50 ${queued(0.5)} ms, p90 ${queued(0.9)} ms, p99 ${queued(0.99)} ms, longest ${queued(1)} ms (load of this machine: ${loadavg()[0]!.toFixed(1)} on ${availableParallelism()} cores)`,
  );
  await agent.close();
  await line.close();
  await server.close();
  await broker.close();
  rmSync(directory, { recursive: true });
  return Number(took(0.99)) <= REQUIRED_P99_MS ? 0 : 1;
}

/** What waits on the agent's disk before it is connected: old events, and an update of 1 MB. */
async function fillAgent(directory: string, port: number): Promise<void> {
  const before: TestAgent = await openAgent({ agent: AGENT, port, directory, log: LOG, isOffline: true });
  for (let i = 0; i < OLD_EVENTS / 2; i++) {
    before.raise('raised', i + 1);
    before.raise('cleared', i + 1);
  }
  const update: Update = {
    ...{ kind: 'update', round: 9, attempt: 0, baseHash: '0'.repeat(64), codec: 'f32', layerMask: null },
    ...{ delta: randomBytes(TRANSFER_BYTES), rows: 1, loss: 0.5, trainingMs: 1, scores: { counts: [1], rows: 1 } },
  };
  const { round, attempt, baseHash } = update;
  const envelope = { federation: FEDERATION, sender: AGENT, sequence: 1, sentAtMs: 1, message: update };
  const bytes = encodeEnvelope(envelope, 2 * TRANSFER_BYTES);
  const pending = { round, attempt, baseHash, bytes, feedback: null, untilMs: Date.now() + 3_600_000 };
  before.store.write({ op: 'state', key: 'pending-update', value: encodeStoredUpdate(pending) });
  await before.close();
}

function randomBytes(count: number): Uint8Array {
  const random = createRandom('bytes');
  return Uint8Array.from({ length: count }, () => random.integer(256));
}

function kilo(bytes: number): string {
  return (bytes / 1_000).toFixed(0);
}
