import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { schemaHash } from '@twinwatch/core/features/schema';
import type { FeatureSchema } from '@twinwatch/core/features/spec';
import type { TrainingEngine } from '@twinwatch/core/learning/engine';
import type { Clock, Logger, Timers } from '@twinwatch/core/runtime';
import { blobRef, encodeLineage, encodeParameters, hashOf } from '@twinwatch/core/wire/blobs';
import type { Link } from '@twinwatch/core/wire/link';
import type { FitTask, Update } from '@twinwatch/core/wire/messages';
import { topics } from '@twinwatch/core/wire/topics';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { UNLABELLED } from '../store/row-table.js';
import { Store } from '../store/store.js';
import { systemClock, systemTimers } from '../system-runtime.js';
import { NO_KEYS } from './agent-trust.js';
import { BlobFetcher } from './blob-fetcher.js';
import type { FederationContext } from './federation-context.js';
import { TaskRunner } from './task-runner.js';
import { UpdateOutbox } from './update-outbox.js';

let directory: string;
let store: Store;
let told: string[];
const sent: Uint8Array[] = [];
const log: Logger = { debug() {}, info() {}, warn: tell, error: tell };
function tell(context: object, message: string): void {
  told.push(`${message}: ${(context as { error?: unknown }).error}`);
}
beforeEach(async () => {
  told = [];
  sent.length = 0;
  directory = mkdtempSync(join(tmpdir(), 'twinwatch-updates-'));
  store = await Store.open(
    { directory, maximumRows: 9, maximumBytes: 1e9, maximumOutboxEvents: 9, maximumBlobBytes: 1e6 },
    { timers: systemTimers, log, maximumQueuedRows: 9 },
  );
});
afterEach(async () => {
  await store.close();
  rmSync(directory, { recursive: true });
});

function context(timers: Timers = systemTimers, clock: Clock = systemClock): FederationContext {
  // A link to a broker that takes everything and brings nothing.
  const link = {
    publish: async () => undefined,
    isArriving: () => false,
    sendTransfer: async (_topic: string, bytes: Uint8Array) => void sent.push(bytes),
  } as unknown as Link;
  return {
    ...{ federation: 'test', agent: 'site', topics: topics('test').agent('site'), link, store },
    ...{ clock, timers, log, nextSequence: () => 1, protocol: () => 1, trust: NO_KEYS },
  };
}
const update = (rest: Partial<Update> = {}): Update => ({
  ...{ kind: 'update', round: 1, attempt: 0, baseHash: '0'.repeat(64), codec: 'f32', layerMask: null },
  ...{ delta: Uint8Array.of(1), rows: 1, loss: 0.5, trainingMs: 1, scores: { counts: [1], rows: 1 } },
  ...rest,
});

describe('UpdateOutbox', () => {
  it('keeps no update that no server would read', async () => {
    const stop = new AbortController();
    const outbox = new UpdateOutbox(context());
    expect(() => outbox.put(update({ loss: Number.NaN }), null, 60_000, stop.signal)).toThrow('loss');
    expect(await store.call('state', 'pending-update')).toBeNull();
    outbox.put(update(), null, 60_000, stop.signal);
    expect(await store.call('state', 'pending-update')).not.toBeNull();
    stop.abort();
    const again = new UpdateOutbox(context());
    sent.length = 0;
    const signal = new AbortController();
    await again.restore(signal.signal);
    expect(again.holds(1, 0, '0'.repeat(64))).toBe(true);
    expect(sent).toHaveLength(1);
    signal.abort();
  });

  it('sends an update again at once where the server asks for it again, however long it would pause', async () => {
    const stop = new AbortController();
    const forEver: Timers = {
      ...systemTimers,
      sleep: (_name, _ms, signal) =>
        new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason), { once: true })),
    };
    const outbox = new UpdateOutbox(context(forEver));
    outbox.put(update(), null, 60_000, stop.signal);
    await vi.waitFor(() => expect(sent).toHaveLength(1), { timeout: 20_000 });
    // The pause has begun.
    await new Promise((resolve) => setImmediate(resolve));
    outbox.goOn(60_000, stop.signal);
    await vi.waitFor(() => expect(sent).toHaveLength(2), { timeout: 20_000 });
    expect(sent[1]).toEqual(sent[0]);
    stop.abort();
  });

  it('sends what was accepted again where the server asks for it again: it has lost it since', async () => {
    const stop = new AbortController();
    const again = () => vi.waitFor(() => expect(sent.length).toBeGreaterThan(0), { timeout: 10_000 });
    sent.length = 0;
    const outbox = new UpdateOutbox(context());
    outbox.put(update(), null, 60_000, stop.signal);
    const receipt = { kind: 'update-receipt', round: 1, attempt: 0, verdict: 'accepted', detail: '' } as const;
    await again();
    const [first] = sent.splice(0);
    outbox.received(receipt);
    expect(outbox.holds(1, 0, '0'.repeat(64))).toBe(true);
    for (let time = 0; time < 2; time++) {
      outbox.goOn(60_000, stop.signal);
      await again();
      expect(sent.splice(0)).toEqual([first]);
      outbox.received(receipt);
    }
    stop.abort();
  });

  it('goes on sending where the clock is set meanwhile, and stops when its time is over by a clock that is not', async () => {
    let [setByMs, passedMs] = [0, 0];
    const clock = { now: () => Date.now() + setByMs, monotonic: () => performance.now() + passedMs };
    const timers: Timers = { ...systemTimers, sleep: (name, _ms, signal) => systemTimers.sleep(name, 1, signal) };
    const stop = new AbortController();
    const outbox = new UpdateOutbox(context(timers, clock));
    outbox.put(update(), null, 3_600_000, stop.signal);
    for (setByMs of [0, 20 * 365 * 86_400_000, -30 * 365 * 86_400_000]) {
      const before = sent.length;
      await vi.waitFor(() => expect(sent.length).toBeGreaterThan(before + 1), { timeout: 10_000 });
    }
    passedMs = 3_600_001;
    await vi.waitFor(() => expect(outbox.holds(1, 0, '0'.repeat(64))).toBe(false), { timeout: 10_000 });
    expect(told).toEqual([expect.stringContaining('no receipt for an update before its deadline')]);
    stop.abort();
  });

  it('drops a stored update that cannot be read, says so, and lets the agent start', async () => {
    store.write({ op: 'state', key: 'pending-update', value: Uint8Array.of(0xff, 1, 2) });
    await new UpdateOutbox(context()).restore(new AbortController().signal);
    expect(told).toEqual([expect.stringContaining('the stored update cannot be read; it is dropped')]);
    expect(await store.call('state', 'pending-update')).toBeNull();
  });
});

describe('TaskRunner', () => {
  it('gives a task up at its deadline, by the timers it was given', async () => {
    const deadlines: number[] = [];
    const timers: Timers = {
      sleep: systemTimers.sleep,
      after: (name, ms, callback) => {
        if (name !== 'task-deadline') return systemTimers.after(name, ms, callback);
        deadlines.push(ms);
        return systemTimers.after(name, 0, callback);
      },
    };
    const shared = context(timers);
    const runner = new TaskRunner({
      context: shared,
      blobs: new BlobFetcher(shared),
      updates: new UpdateOutbox(shared),
      engine: async () => ({}) as never,
      limits: { maximumRows: 9, quarantineMs: 0, labelWeight: 1 },
      siteTags: () => [],
      intervalMs: 1_000,
      onIntervalFault: () => undefined,
      onLineage: () => undefined,
    });
    const blob = { hash: '0'.repeat(64), bytes: 4 };
    const task: FitTask = {
      ...{ kind: 'fit', round: 1, attempt: 0, method: 'm', lineage: blob, parameters: blob, epochs: 1, batchSize: 1 },
      ...{ learningRate: 1, proximalMu: 0, exchangeShare: 0, codec: 'f32', layerMask: null, seed: 1, deadlineMs: 1e8 },
    };
    runner.take(task, new AbortController().signal);
    await runner.idle();
    expect(deadlines).toEqual([1e8]);
    expect(told).toEqual([expect.stringContaining('not done within the 100000000 ms of the task')]);
  });

  it('takes parameters that come with their task, and reads its rows again once there are others', async () => {
    const shared = context();
    const fitted: { rows: number; first: number | undefined }[] = [];
    const engine: Partial<TrainingEngine> = {
      async fit({ parameters, data }) {
        fitted.push({ rows: data.labels.length, first: parameters[0] });
        return { parameters, loss: 0, steps: 0 };
      },
    };
    const updates = new UpdateOutbox(shared);
    const runner = new TaskRunner({
      ...{
        context: shared,
        updates,
        blobs: new BlobFetcher(shared),
        siteTags: () => ['a'],
        intervalMs: 1_000,
        onIntervalFault: () => undefined,
        onLineage: () => undefined,
      },
      engine: async () => engine as TrainingEngine,
      limits: { maximumRows: 9, quarantineMs: 0, labelWeight: 1 },
    });
    const schema: FeatureSchema = {
      ...{ intervalMs: 1_000, holdRows: 0, tags: [{ name: 'a', unit: '', kind: 'analog', resolution: 1 }] },
      features: [{ type: 'raw', tag: 'a' }],
    };
    const lineage = encodeLineage({
      ...{ schema, schemaHash: schemaHash(schema), scaler: { mean: [0], scale: [1], clip: 5 }, exchange: null },
      architecture: { inputs: 1, hidden: [], members: 1 },
    });
    const parameters = encodeParameters(Float32Array.of(3, 4));
    await store.call('putBlob', hashOf(lineage), lineage);
    const task = (round: number, inline: Uint8Array): FitTask => ({
      ...{ kind: 'fit', round, attempt: 0, method: 'm', lineage: blobRef(lineage), parameters: blobRef(parameters) },
      ...{ inline, epochs: 1, batchSize: 1, learningRate: 1, proximalMu: 0, exchangeShare: 0, codec: 'f32' },
      ...{ layerMask: null, seed: 1, deadlineMs: 60_000 },
    });
    const row = (timeMs: number) =>
      store.write({
        ...{ op: 'row', timeMs, sequence: timeMs, tags: ['a'], values: Float64Array.of(timeMs) },
        ...{ label: UNLABELLED, score: null, alarmState: null },
      });
    const read = vi.spyOn(store, 'call');
    const reads = () => read.mock.calls.filter(([call]) => call === 'rows').length;
    const fit = async (round: number, inline = parameters) => {
      const stop = new AbortController();
      runner.take(task(round, inline), stop.signal);
      await runner.idle();
      updates.received({ kind: 'update-receipt', round, attempt: 0, verdict: 'accepted', detail: '' });
    };
    for (let timeMs = 1; timeMs <= 4; timeMs++) row(timeMs);
    await fit(1);
    await fit(2);
    expect([reads(), fitted]).toEqual([
      1,
      [
        { rows: 4, first: 3 },
        { rows: 4, first: 3 },
      ],
    ]);
    row(5);
    await fit(3);
    expect([reads(), fitted.at(-1)]).toEqual([2, { rows: 4, first: 3 }]);
    await store.call('importRows', {
      ...{ tags: ['a'], timesMs: Float64Array.of(0), values: Float64Array.of(0), labels: Int8Array.of(0) },
    } as never);
    await fit(4);
    expect(reads()).toBe(3);
    // Others than the task names are not taken; nobody sends the right ones here.
    const named = blobRef(encodeParameters(Float32Array.of(9, 9)));
    runner.take({ ...task(5, parameters), parameters: named, deadlineMs: 1 }, new AbortController().signal);
    await runner.idle();
    expect(fitted).toHaveLength(4);
  });
});
