import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startBroker } from '@twinwatch/broker/broker';
import { BuiltinEngine } from '@twinwatch/core/learning/builtin-engine';
import { layers } from '@twinwatch/core/learning/network';
import { decodeParameters, encodeParameters, hashOf } from '@twinwatch/core/wire/blobs';
import { encodeCbor } from '@twinwatch/core/wire/cbor';
import { decodeEnvelope, encodeEnvelope } from '@twinwatch/core/wire/envelope';
import { encodeJson } from '@twinwatch/core/wire/json-messages';
import { Link } from '@twinwatch/core/wire/link';
import type { LinkOptions } from '@twinwatch/core/wire/link-options';
import type { EvaluateTask, FitTask, Receipt, Update, WireMessage } from '@twinwatch/core/wire/messages';
import { encodeDelta } from '@twinwatch/core/wire/parameter-codec';
import { topics } from '@twinwatch/core/wire/topics';
import { type ClientRows, clientExamples } from '@twinwatch/twin-server/aggregator/client-examples';
import { runRounds } from '@twinwatch/twin-server/aggregator/in-process';
import { InProcessClient } from '@twinwatch/twin-server/aggregator/in-process-client';
import { buildSchema } from '@twinwatch/twin-server/aggregator/lineage';
import { RoundWork } from '@twinwatch/twin-server/aggregator/round-work';
import { openJournal } from '@twinwatch/twin-server/aggregator/sqlite-journal';
import {
  normalClients,
  SILENT,
  syntheticConfig,
  syntheticTwin,
  TAGS,
} from '@twinwatch/twin-server/aggregator/testing/synthetic-plant';
import { splitEpisodes, twinFeatures } from '@twinwatch/twin-server/aggregator/twin-rows';
import { FederationService } from '@twinwatch/twin-server/federation-service';
import mqtt from 'mqtt';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock, systemTimers } from '../processes/node-runtime.js';

/** Rounds over a real broker, with agents that answer what and when the test says. Deadlines are an hour: what waits for one fails. */

const RUN = 'run';
const within = { timeout: 20_000, interval: 10 };
const engine = new BuiltinEngine();
const { detector } = syntheticConfig({});
const schema = buildSchema(detector, { tags: TAGS, intervalMs: 900_000 }, []);
const twin = twinFeatures(schema, splitEpisodes(syntheticTwin(1, 4).episodes, { validationShare: 0.5, seed: 1 }));

let directory: string;
let broker: Awaited<ReturnType<typeof startBroker>>;
let connection: Pick<LinkOptions, 'connect' | 'url'>;
let journal: ReturnType<typeof openJournal>;
let work: RoundWork;
let service: FederationService;
const sites: Site[] = [];

type UpdateReceipt = Extract<Receipt, { kind: 'update-receipt' }>;

/** An agent that says hello, calibrates and scores candidates by itself, and keeps what it is to fit for the test to answer. */
class Site {
  readonly tasks: FitTask[] = [];
  readonly receipts: UpdateReceipt[] = [];
  readonly #id: string;
  readonly #topics: ReturnType<ReturnType<typeof topics>['agent']>;
  readonly #client: InProcessClient;
  #link: Link | null = null;
  #sequence = 1;

  constructor(rows: ClientRows) {
    this.#id = rows.id;
    this.#topics = topics('test').agent(rows.id);
    this.#client = new InProcessClient(clientExamples(schema, rows));
    sites.push(this);
  }

  async connect(): Promise<void> {
    const { task, receipt, status, hello } = this.#topics;
    const presence = (online: boolean, connectionId: string) =>
      encodeJson({ online, connectionId, atMs: 1, softwareVersion: '1', modelVersion: null, health: null });
    const connectionId = await new Promise<string>((onOnline) => {
      this.#link = new Link({
        ...{ ...connection, clientId: this.#id, subscriptions: [task, receipt], onOnline },
        ...{ clock: systemClock, timers: systemTimers, random: Math.random, log: SILENT },
        will: (id) => ({ topic: status, payload: presence(false, id) }),
        onMessage: (_topic, payload) => this.#heard(decodeEnvelope(payload).message),
      });
      this.#link.start();
    });
    await this.#link!.publish(status, presence(true, connectionId));
    await this.#link!.publish(
      hello,
      this.enveloped({
        ...{ kind: 'hello', softwareVersion: '1', tags: TAGS.map(({ name }) => name), eligibleRows: 100 },
        ...{ labelledRows: 0, codecs: ['f32', 'int8'], engine: 'builtin', lineageHash: null, modelVersion: null },
        publicKeyId: null,
      }),
    );
  }

  async disconnect(): Promise<void> {
    await this.#link?.stop();
    this.#link = null;
  }

  async task(round: number): Promise<FitTask> {
    return vi.waitFor(() => {
      const task = this.tasks.findLast((one) => one.round === round);
      expect(task).toBeDefined();
      return task!;
    }, within);
  }

  async answerTo(task: FitTask | EvaluateTask): Promise<Update> {
    const blob = (hash: string) => journal.blob(hash)!;
    const base = decodeParameters(blob(task.parameters.hash), work.parameterCount);
    return this.#client.answer(task, { base, blob, engine });
  }

  /** @returns the receipt that comes for it. */
  async send(bytes: Uint8Array): Promise<UpdateReceipt> {
    const before = this.receipts.length;
    await this.upload(bytes);
    return vi.waitFor(() => {
      expect(this.receipts.length).toBeGreaterThan(before);
      return this.receipts[before]!;
    }, within);
  }

  async upload(bytes: Uint8Array): Promise<void> {
    await this.#link!.sendTransfer(this.#topics.up, bytes);
  }

  enveloped(message: WireMessage): Uint8Array {
    return encodeEnvelope(this.#envelope(message), 1024 * 1024);
  }

  /** As an agent of another make might: nothing is checked here. */
  unchecked(message: object, sender = this.#id): Uint8Array {
    return encodeCbor({ protocol: 1, ...this.#envelope(message), sender, signature: null });
  }

  #envelope<M>(message: M) {
    return { federation: 'test', sender: this.#id, sequence: this.#sequence++, sentAtMs: 1, message };
  }

  #heard(message: WireMessage): void {
    if (message.kind === 'calibrate') {
      const moments = this.#client.moments.toJSON();
      const answer = this.enveloped({ kind: 'calibration', schemaHash: message.schemaHash, moments });
      void this.#link?.publish(this.#topics.hello, answer);
    } else if (message.kind === 'update-receipt') {
      this.#client.onReceipt(message);
      this.receipts.push(message);
    } else if (message.kind === 'fit') this.tasks.push(message);
    else if (message.kind === 'evaluate') void this.#score(message).catch(() => undefined);
  }

  async #score(task: EvaluateTask): Promise<void> {
    await this.upload(this.enveloped(await this.answerTo(task)));
  }
}

function serve(rounds: object): void {
  const config = syntheticConfig({ method: 'fedavg', epochs: 1, deadline: '1h', ...rounds });
  const plan = { federation: 'test', schema, detector, rounds: config.rounds, seed: 1 };
  work = new RoundWork(plan, engine, twin);
  const ignore = () => undefined;
  service = new FederationService({
    ...{ plan, work, journal, run: RUN, broker: connection, softwareVersion: '1', random: Math.random, log: SILENT },
    ...{ clock: systemClock, timers: systemTimers },
    observer: { onStep: ignore, onStatus: ignore, onTelemetry: ignore, onAlarm: ignore },
    desk: { waiting: () => [], answered: () => false },
    onFatal: (error) => {
      throw error;
    },
  });
  service.start();
}

const accepted = () => journal.rounds(RUN).map((round) => [...round.accepted].sort());

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'twinwatch-federation-'));
  const dataDir = join(directory, 'broker');
  broker = await startBroker({ host: '127.0.0.1', port: 0, dataDir, clock: systemClock, log: SILENT });
  const url = `mqtt://127.0.0.1:${broker.port}`;
  connection = { url, connect: (options) => mqtt.connect(options.url, options as mqtt.IClientOptions) };
  journal = openJournal(join(directory, 'server.db'));
});

afterEach(async () => {
  for (const site of sites.splice(0)) await site.disconnect();
  await service.stop();
  journal.close();
  await broker.close();
  rmSync(directory, { recursive: true });
});

describe('a federation over a real broker', () => {
  it('records every bad update, answers those that say what they answer, and goes on without their sender', async () => {
    serve({ count: 1, quorum: 1 });
    const [good, bad] = normalClients(2, 2).map((rows) => new Site(rows)) as [Site, Site];
    await Promise.all([good.connect(), bad.connect()]);
    const task = await bad.task(1);
    const update = await bad.answerTo(task);
    const { scores, delta } = update;
    expect(scores).toBeNull();
    const negative = { counts: [-1], rows: 1 };
    const wrong: [Uint8Array, string, RegExp][] = [
      [bad.unchecked({ ...update, loss: Number.NaN }), 'malformed', /loss/],
      [bad.unchecked({ ...update, scores: negative }), 'malformed', /scores\.counts/],
      [bad.unchecked({ ...update, rows: -5 }), 'malformed', /rows/],
      [bad.unchecked(update, 'site-1'), 'malformed', /says it is from site-1/],
      [bad.enveloped({ ...update, delta: new Uint8Array() }), 'wrong-shape', /no parameters/],
      [bad.enveloped({ ...update, delta: delta.slice(1) }), 'wrong-shape', /./],
      [bad.enveloped({ ...update, round: 99 }), 'stale-round', /round 99 is not open, 1 is/],
    ];
    for (const [bytes, verdict, detail] of wrong) {
      const receipt = await bad.send(bytes);
      expect(receipt).toMatchObject({ verdict, detail: expect.stringMatching(detail), attempt: task.attempt });
    }
    await bad.upload(new TextEncoder().encode('garbage garbage'));
    await vi.waitFor(() => expect(journal.rejections(RUN, 99)).toHaveLength(wrong.length + 1), within);

    const mine = good.enveloped(await good.answerTo(await good.task(1)));
    expect((await good.send(mine)).verdict).toBe('accepted');
    await vi.waitFor(() => expect(accepted()).toEqual([['site-1']]), within);
    await good.upload(mine);
    await vi.waitFor(() => expect(good.receipts.map(({ verdict }) => verdict)).toContain('duplicate'), within);

    const journalled = journal.rejections(RUN, 99);
    expect(journalled.map(({ agent, verdict, round }) => [agent, verdict, round])).toEqual([
      ...wrong.map(([, verdict]) => ['site-2', verdict, verdict === 'stale-round' ? 99 : 1]),
      ['site-2', 'malformed', null],
      ['site-1', 'duplicate', 1],
    ]);
    expect(service.runner.state.agents['site-2']?.rejectedUpdates).toBe(wrong.length + 1);
  });

  it.each([
    { method: 'fedavg', combiner: { type: 'trimmedMean', trim: 0.2 }, serverOptimizer: { type: 'fedadam' } },
    { method: 'fpf', filter: { cosine: 'median', normMultiple: 1 }, serverOptimizer: { type: 'fedyogi' } },
    { method: 'cwa', combiner: { type: 'multiKrum', byzantine: 1 }, serverOptimizer: { type: 'fedavgm' } },
  ])('comes to what the same federation in one process comes to, bit for bit: %o', async (robust) => {
    const rounds = { count: 3, quorum: 5, codec: 'int8', ...robust };
    serve(rounds);
    const rows = normalClients(5, 2);
    const live = rows.map((one) => new Site(one));
    await Promise.all(live.map((site) => site.connect()));
    for (let round = 1; round <= 3; round++) {
      for (const site of live.toReversed()) {
        const update = await site.answerTo(await site.task(round));
        expect(await site.send(site.enveloped(update))).toMatchObject({ verdict: 'accepted', round });
      }
    }
    await vi.waitFor(() => expect(service.runner.state.committed).toBe(3), within);
    const simulated: Float32Array[] = [];
    await runRounds({
      ...{ schema, twin, detector, engine, seed: 1, now: () => 0, log: SILENT },
      rounds: syntheticConfig({ epochs: 1, ...rounds }).rounds,
      clients: rows.map((one) => clientExamples(schema, one)),
      onRound: (_view, global) => simulated.push(global.slice()),
    });
    expect(service.runner.state.globalHash).toBe(hashOf(encodeParameters(simulated[2]!)));
    expect(service.runner.state.optimizer?.type).toBe(robust.serverOptimizer.type);
  });

  it('puts an agent in quarantine that poisons, goes on without it over restarts, and asks it again once that is lifted', async () => {
    const rounds = { count: 8, quorum: 2, defence: { normRatio: 5, rowsRatio: 2, quarantineAfter: 2 } };
    serve(rounds);
    const all = normalClients(5, 2).map((rows) => new Site(rows));
    const [evil, ...honest] = all as [Site, ...Site[]];
    await Promise.all(all.map((site) => site.connect()));
    const answer = async (round: number, ...present: Site[]) => {
      for (const site of present) {
        const update = await site.answerTo(await site.task(round));
        expect(await site.send(site.enveloped(update))).toMatchObject({ verdict: 'accepted', round });
      }
    };
    const poison = async (round: number, change: (update: Update) => object) => {
      const update = await evil.answerTo(await evil.task(round));
      return evil.send(evil.enveloped({ ...update, ...change(update) }));
    };
    const slices = layers(work.architecture);
    const scaled = (update: Update) => ({
      delta: encodeDelta(
        work.decode(update).map((value) => 100 * value),
        slices,
        update.codec,
        update.layerMask,
      ).bytes,
    });
    await answer(1, evil, ...honest);
    await answer(2, evil, ...honest);
    expect(await poison(3, scaled)).toMatchObject({ verdict: 'too-large', detail: expect.stringMatching(/median/) });
    await answer(3, ...honest);
    expect(await poison(4, () => ({ rows: 100_000 }))).toMatchObject({
      ...{ verdict: 'implausible-rows', detail: '100000 rows, at most 200 by what the agent announced' },
    });
    await answer(4, ...honest);
    await Promise.all(honest.map((site) => site.task(5)));
    const quarantined = () => service.runner.state.agents['site-1'];
    expect(quarantined()).toMatchObject({
      quarantinedAtMs: expect.any(Number),
      strikes: [{ round: 3, verdict: 'too-large' }, { round: 4 }],
    });
    await service.stop();
    serve(rounds);
    for (const site of all) {
      await site.disconnect();
      await site.connect();
    }
    await answer(5, ...honest);
    await Promise.all(honest.map((site) => site.task(6)));
    expect(quarantined()?.strikes).toHaveLength(2);
    expect(evil.tasks.map(({ round }) => round)).toEqual([1, 2, 3, 4]);
    service.runner.liftQuarantine('site-1', 'Ada');
    await answer(6, ...honest);
    await answer(7, evil, ...honest);
    await vi.waitFor(() => expect(accepted()[6]).toHaveLength(5), within);
    expect(accepted().slice(2, 6)).toEqual(Array(4).fill(['site-2', 'site-3', 'site-4', 'site-5']));
    expect(journal.rejections(RUN, 9).at(-1)).toMatchObject({ verdict: 'quarantine-lifted', detail: 'by Ada' });
  });

  it('takes an agent back that was away for rounds, and none of what it learned before', async () => {
    serve({ count: 6, quorum: 2 });
    const [first, second, away] = normalClients(3, 2).map((rows) => new Site(rows)) as [Site, Site, Site];
    await Promise.all([first.connect(), second.connect(), away.connect()]);
    const old = away.enveloped(await away.answerTo(await away.task(1)));
    await away.disconnect();
    const answer = async (round: number, ...present: Site[]) => {
      for (const site of present) {
        const update = await site.answerTo(await site.task(round));
        expect(await site.send(site.enveloped(update))).toMatchObject({ verdict: 'accepted', round });
      }
    };
    for (let round = 1; round <= 4; round++) await answer(round, first, second);
    await Promise.all([first.task(5), second.task(5)]);
    await away.connect();
    expect(await away.send(old)).toMatchObject({ verdict: 'stale-round', detail: 'round 1 is not open, 5 is' });
    await vi.waitFor(() => expect(service.runner.state.agents['site-3']?.online).toBe(true), within);
    await answer(5, first, second);
    await answer(6, first, second, away);
    const both = ['site-1', 'site-2'];
    await vi.waitFor(() => expect(accepted()).toEqual([both, both, both, both, both, [...both, 'site-3']]), within);
    expect(away.tasks.map(({ round }) => round)).toEqual([1, 6]);
    await vi.waitFor(() => expect(service.runner.state.released).not.toBeNull(), within);
  });
});
