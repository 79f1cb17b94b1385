import { EventEmitter } from 'node:events';
import { BuiltinEngine } from '@twinwatch/core/learning/builtin-engine';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import { decodeChunk, split } from '@twinwatch/core/wire/chunks';
import type { AlarmCommand } from '@twinwatch/core/wire/commands';
import { decodeEnvelope, encodeEnvelope } from '@twinwatch/core/wire/envelope';
import { encodeJson, parseServerStatus } from '@twinwatch/core/wire/json-messages';
import type { Hello, Update, WireMessage } from '@twinwatch/core/wire/messages';
import type { MqttClientLike } from '@twinwatch/core/wire/mqtt-client';
import { topics } from '@twinwatch/core/wire/topics';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Journal } from './aggregator/journal.js';
import { buildSchema } from './aggregator/lineage.js';
import { RoundWork } from './aggregator/round-work.js';
import { openJournal } from './aggregator/sqlite-journal.js';
import { SILENT, syntheticConfig, syntheticTwin, TAGS } from './aggregator/testing/synthetic-plant.js';
import { splitEpisodes, twinFeatures } from './aggregator/twin-rows.js';
import { FederationService } from './federation-service.js';

/** The broker's side of the one connection: what was published, and a way to deliver. */
class Wire extends EventEmitter implements MqttClientLike {
  readonly published: { topic: string; payload: Buffer; retain: boolean }[] = [];

  publish(topic: string, payload: Buffer, { retain }: { retain: boolean }, done: () => void): void {
    this.published.push({ topic, payload, retain });
    queueMicrotask(done);
  }

  subscribe(
    filters: string[],
    _options: object,
    done: (error: null, granted: { topic: string; qos: number }[]) => void,
  ): void {
    done(
      null,
      filters.map((topic) => ({ topic, qos: 1 })),
    );
  }

  end(_force: boolean, done: () => void): void {
    done();
  }

  deliver(topic: string, payload: Uint8Array): void {
    this.emit('message', topic, Buffer.from(payload), { retain: false, dup: false });
  }

  sentTo(topic: string): Buffer[] {
    return this.published.filter((message) => message.topic === topic).map(({ payload }) => payload);
  }
}

const config = syntheticConfig({ quorum: 1 });
const schema = buildSchema(config.detector, { tags: TAGS, intervalMs: 900_000 }, []);
const plan = { federation: 'test', schema, detector: config.detector, rounds: config.rounds, seed: 1 };
const features = twinFeatures(schema, splitEpisodes(syntheticTwin(1, 4).episodes, { validationShare: 0.5, seed: 1 }));
const work = new RoundWork(plan, new BuiltinEngine(), features);
const { agent: agentTopics, serverStatus, manifest } = topics('test');
const site = agentTopics('site-1');

const ALARM: AlarmEvent = {
  ...{ eventId: 'site-1:1:1', alarmId: 'site-1:1', agent: 'site-1', transition: 'raised', atMs: 5, score: 0.9 },
  ...{ threshold: 0.5, modelVersion: 'v1', contributions: [], latencyMs: 1 },
};
const HELLO: Hello = {
  ...{ kind: 'hello', softwareVersion: '1', tags: TAGS.map(({ name }) => name), eligibleRows: 9, labelledRows: 0 },
  ...{ codecs: ['f32', 'int8'], engine: 'builtin', lineageHash: null, modelVersion: null, publicKeyId: null },
};

const UPDATE: Update = {
  ...{ kind: 'update', round: 1, attempt: 1, baseHash: 'a'.repeat(64), codec: 'f32', layerMask: null },
  ...{ delta: Uint8Array.of(1), rows: 1, loss: 0, trainingMs: 0, scores: null },
};

describe('federation service', () => {
  let journal: Journal;
  let wire: Wire;
  let service: FederationService;
  const desk = { waiting: vi.fn((): AlarmCommand[] => []), answered: vi.fn(() => false) };
  let later: () => void;
  const observer = { onStep: vi.fn(), onStatus: vi.fn(), onTelemetry: vi.fn(), onAlarm: vi.fn() };

  const say = (message: WireMessage, channel: 'hello' | 'request' | 'answer' = 'hello', sender = 'site-1') =>
    wire.deliver(site[channel], encodeEnvelope({ federation: 'test', sender, sequence: 1, sentAtMs: 1, message }));
  const heard = (channel: 'task' | 'receipt' | 'command') =>
    wire.sentTo(site[channel]).map((payload) => decodeEnvelope(payload).message);

  beforeEach(async () => {
    vi.clearAllMocks();
    journal = openJournal(':memory:');
    wire = new Wire();
    service = new FederationService({
      ...{ plan, work, journal, run: 'run', softwareVersion: '1', random: Math.random, log: SILENT, observer, desk },
      broker: { url: 'mqtt://test', connect: () => wire },
      clock: { now: () => 1_000, monotonic: () => 0 },
      timers: {
        after(name, _ms, callback) {
          if (name === 'commands again') later = callback;
          if (name === 'updates') setImmediate(callback);
          return () => undefined;
        },
        sleep: () => new Promise(() => undefined),
      },
      onFatal: (error) => {
        throw error;
      },
    });
    service.start();
    wire.emit('connect');
    await vi.waitFor(() => expect(wire.sentTo(serverStatus)).toHaveLength(1));
  });
  afterEach(async () => {
    await service.stop();
    journal.close();
  });

  it('says that it is there, retained, and later that it is gone', async () => {
    expect(parseServerStatus(wire.sentTo(serverStatus)[0]!)).toMatchObject({ online: true });
    expect(wire.published[0]).toMatchObject({ topic: serverStatus, retain: true });
    await service.stop();
    expect(parseServerStatus(wire.sentTo(serverStatus).at(-1)!)).toMatchObject({ online: false });
  });

  it('answers a hello with the calibrate task', () => {
    say(HELLO);
    expect(heard('task')).toMatchObject([{ kind: 'calibrate', schemaHash: work.schemaHash, minimumRows: 50 }]);
  });

  it('journals an alarm before its receipt, tells of it once, and gives a receipt for each repetition', () => {
    wire.deliver(site.alarms, encodeJson(ALARM));
    wire.deliver(site.alarms, encodeJson(ALARM));
    const receipt = { kind: 'alarm-receipt', eventIds: ['site-1:1:1'] };
    expect(heard('receipt')).toEqual([receipt, receipt]);
    expect(journal.alarms(10)).toEqual([ALARM]);
    expect(observer.onAlarm).toHaveBeenCalledTimes(1);
  });

  it('takes the updates of one turn together, and where one cannot be written, the others alone', async () => {
    const sent = (agent: string) => {
      const bytes = encodeEnvelope({ federation: 'test', sender: agent, sequence: 1, sentAtMs: 1, message: UPDATE });
      wire.deliver(topics('test').agent(agent).up, split(bytes).chunk(0));
    };
    const taken = vi.spyOn(service.runner, 'onUpdates');
    for (const agent of ['site-1', 'site-2', 'site-3']) sent(agent);
    await vi.waitFor(() => expect(journal.rejections('run', 9)).toHaveLength(3));
    expect(taken).toHaveBeenCalledTimes(1);
    const write = journal.putRejection;
    vi.spyOn(journal, 'putRejection').mockImplementation((of, rejection) => {
      if (rejection.agent === 'site-2') throw new Error('no');
      write.call(journal, of, rejection);
    });
    for (const agent of ['site-1', 'site-2', 'site-3']) sent(agent);
    await vi.waitFor(() => expect(journal.rejections('run', 9)).toHaveLength(5));
    expect(journal.rejections('run', 9).map(({ agent }) => agent)).toEqual([
      'site-1',
      'site-2',
      'site-3',
      'site-1',
      'site-3',
    ]);
  });

  it('sends a command to an agent that is there, and again at its hello and later, until it is answered', () => {
    const command: AlarmCommand = {
      ...{ kind: 'alarm-command', commandId: 'c1', by: 'Ada', decidedAtMs: 1, action: 'dismiss' },
      ...{ alarmId: 'site-1:1', shelveMs: null },
    };
    desk.waiting.mockReturnValue([command]);
    service.sendCommand('site-1', command);
    expect(heard('command')).toEqual([]);
    const status = { online: true, connectionId: 'c', atMs: 1, softwareVersion: '1', modelVersion: null, health: null };
    wire.deliver(site.status, encodeJson(status));
    service.sendCommand('site-1', command);
    say(HELLO);
    later();
    expect(heard('command')).toEqual([command, command, command]);
    desk.waiting.mockReturnValue([]);
    later();
    wire.deliver(site.status, encodeJson({ ...status, online: false }));
    expect(heard('command')).toHaveLength(3);
    const receipt = { kind: 'command-receipt', commandId: 'c1', verdict: 'done', detail: '', rows: 4 } as const;
    say(receipt, 'answer');
    expect(desk.answered.mock.calls).toEqual([['site-1', receipt]]);
  });

  it('ignores who speaks in the name of another, or not at all', () => {
    wire.deliver(agentTopics('site-2').alarms, encodeJson(ALARM));
    say(HELLO, 'hello', 'site-2');
    wire.deliver(site.hello, Uint8Array.of(1, 2, 3));
    wire.deliver(site.alarms, new TextEncoder().encode('{'));
    expect(journal.alarms(10)).toEqual([]);
    expect(service.runner.state.agents).toEqual({});
    expect(heard('receipt')).toEqual([]);
  });

  it('remembers a bounded number of names that never say hello', () => {
    const status = { online: true, connectionId: 'c', atMs: 1, softwareVersion: '1', modelVersion: null, health: null };
    for (let i = 0; i < 300; i++) wire.deliver(agentTopics(`made-up-${i}`).status, encodeJson(status));
    wire.deliver(agentTopics('made-up-299').telemetry, encodeJson({ atMs: 1, score: null, values: {} }));
    expect(Object.keys(service.runner.state.agents)).toHaveLength(256);
    expect(observer.onStatus).toHaveBeenCalledTimes(256);
    expect(observer.onTelemetry).not.toHaveBeenCalled();
    say(HELLO);
    wire.deliver(site.status, encodeJson(status));
    expect(observer.onStatus).toHaveBeenLastCalledWith('site-1', status);
  });

  it('neither asks nor answers an agent of a release too far apart, and holds no update of its protocol against it', () => {
    say(HELLO);
    const status = { online: true, connectionId: 'c', atMs: 1, softwareVersion: '9', modelVersion: null, health: null };
    wire.deliver(site.status, encodeJson({ ...status, protocols: { oldest: 5, newest: 7 } }));
    wire.deliver(site.alarms, encodeJson(ALARM));
    expect(journal.alarms(10)).toEqual([ALARM]);
    expect(heard('receipt')).toEqual([]);
    const update: WireMessage = {
      ...{ kind: 'update', round: 1, attempt: 1, baseHash: 'ab'.repeat(32), codec: 'f32', layerMask: null },
      ...{ delta: Uint8Array.of(1, 2, 3, 4), rows: 1, loss: 1, trainingMs: 1, scores: null },
    };
    const fields = { federation: 'test', sender: 'site-1', sequence: 2, sentAtMs: 1 };
    const transfer = split(encodeEnvelope({ ...fields, message: update, protocol: 5 }));
    for (let index = 0; index < transfer.total; index++) wire.deliver(site.up, transfer.chunk(index));
    expect(service.refused.get('site-1')?.byCode).toEqual({ WIRE_PROTOCOL: 1 });
    expect(service.runner.state.agents['site-1']).toMatchObject({
      ...{ online: true, compatible: false, detail: expect.stringMatching(/upgrade the server/), rejectedUpdates: 0 },
      strikes: [],
    });
    wire.deliver(site.status, encodeJson({ ...status, protocols: { oldest: 1, newest: 7 } }));
    say(HELLO);
    expect(service.runner.state.agents['site-1']).toMatchObject({ compatible: true, eligibleRows: 9 });
    wire.deliver(site.alarms, encodeJson(ALARM));
    expect(heard('receipt')).toHaveLength(1);
  });

  it('sends a blob, or the chunks of it that are missing, and nothing that it does not have', async () => {
    const blob = journal.putBlob(new Uint8Array(10_000).fill(7));
    say({ kind: 'blob-request', blob, missing: [1] }, 'request');
    await vi.waitFor(() => expect(wire.sentTo(site.down)).toHaveLength(1));
    expect(decodeChunk(wire.sentTo(site.down)[0]!)).toMatchObject({ transfer: blob.hash, index: 1, total: 3 });
    say({ kind: 'blob-request', blob, missing: null }, 'request');
    await vi.waitFor(() => expect(wire.sentTo(site.down)).toHaveLength(4));
    say({ kind: 'blob-request', blob: { hash: 'ab'.repeat(32), bytes: 4 }, missing: null }, 'request');
    await new Promise((resolve) => setImmediate(resolve));
    expect(wire.sentTo(site.down)).toHaveLength(4);
  });

  it('publishes the newest manifest, retained, on every connection', async () => {
    const blob = journal.putBlob(Uint8Array.of(1));
    const view = { modelVersion: 'v1', round: 1, ...blob, threshold: 0.5, rocAuc: 0.9, releasedAtMs: 1 };
    const message = { kind: 'manifest' as const, ...view, model: blob, lineage: blob };
    journal.putModel('run', view, message);
    service.runner.publishManifest();
    await vi.waitFor(() => expect(wire.sentTo(manifest)).toHaveLength(1));
    expect(decodeEnvelope(wire.sentTo(manifest)[0]!).message).toMatchObject({ kind: 'manifest', modelVersion: 'v1' });
    expect(wire.published.find(({ topic }) => topic === manifest)?.retain).toBe(true);
  });
});
