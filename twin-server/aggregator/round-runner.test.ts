import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BuiltinEngine } from '@twinwatch/core/learning/builtin-engine';
import { decodeParameters } from '@twinwatch/core/wire/blobs';
import type { FitTask, Receipt, Update } from '@twinwatch/core/wire/messages';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { clientExamples } from './client-examples.js';
import type { AgentChannel } from './effect-performer.js';
import { InProcessClient } from './in-process-client.js';
import type { Journal } from './journal.js';
import { buildSchema } from './lineage.js';
import { RoundRunner } from './round-runner.js';
import { RoundWork } from './round-work.js';
import { openJournal } from './sqlite-journal.js';
import { normalClients, SILENT, syntheticConfig, syntheticTwin, TAGS } from './testing/synthetic-plant.js';
import { splitEpisodes, twinFeatures } from './twin-rows.js';

const RUN = 'run';
const serverOptimizer = { type: 'fedavgm' };
const config = syntheticConfig({ count: 2, epochs: 1, codec: 'f32', exchangeRows: 60, serverOptimizer });
const schema = buildSchema(config.detector, { tags: TAGS, intervalMs: 900_000 }, []);
const twin = twinFeatures(schema, splitEpisodes(syntheticTwin(1, 4).episodes, { validationShare: 0.5, seed: 1 }));
const engine = new BuiltinEngine();
const SETUP = setupOf({});
const { work } = SETUP;
const IDS = ['site-1', 'site-2'];

type Setup = ReturnType<typeof setupOf>;

function setupOf(rounds: object) {
  const { detector } = config;
  const plan = { federation: 'test', schema, detector, rounds: { ...config.rounds, ...rounds }, seed: 1 };
  return { plan, work: new RoundWork(plan, engine, twin) };
}

/** Sites as they are: they keep an update until its receipt, and send it again after every connection. */
class Sites {
  readonly #clients = new Map(
    normalClients(2, 2).map((rows) => [rows.id, new InProcessClient(clientExamples(schema, rows))]),
  );
  readonly outbox = new Map<string, Update>();
  readonly receipts: { agent: string; receipt: Receipt }[] = [];
  onTask: AgentChannel['sendTask'] = () => undefined;
  judgeWaiting: (server: Server) => void = () => undefined;

  channel(server: Server): AgentChannel {
    return {
      sendTask: (agent, task) => {
        if (server.journal.isWriting) throw new Error('a task before its step is on the disk');
        this.onTask(agent, task);
        // Pushed right after the task; the server may have dropped it by the time that the agent gets to it.
        const pushed = task.kind === 'calibrate' ? null : server.journal.blob(task.parameters.hash);
        server.later(async () => {
          const client = this.#clients.get(agent)!;
          if (task.kind === 'calibrate') {
            const moments = client.moments.toJSON();
            server.runner.onCalibration(agent, { kind: 'calibration', schemaHash: task.schemaHash, moments });
            return;
          }
          const blob = (hash: string) => server.journal.blob(hash)!;
          const base = decodeParameters(pushed!, work.parameterCount);
          this.outbox.set(agent, await client.answer(task, { base, blob, engine }));
          this.send(server, agent);
        });
      },
      sendReceipt: (agent, receipt) => {
        if (server.journal.isWriting) throw new Error('a receipt before its update is on the disk');
        this.receipts.push({ agent, receipt });
        const kept = this.outbox.get(agent);
        this.#clients.get(agent)?.onReceipt(receipt);
        if (receipt.kind !== 'update-receipt' || kept === undefined) return;
        if (kept.round === receipt.round && kept.attempt === receipt.attempt) this.outbox.delete(agent);
      },
      judgeWaiting: () => this.judgeWaiting(server),
      publishManifest: () => undefined,
      takeTraffic: () => new Map(),
    };
  }

  send(server: Server, agent: string): void {
    const update = this.outbox.get(agent);
    if (update !== undefined)
      server.later(() => server.runner.onUpdates([{ agent, update, bytes: update.delta.length }]));
  }

  connect(server: Server): void {
    for (const agent of IDS) {
      server.later(() => server.runner.onHello(agent, hello()));
      this.send(server, agent);
    }
  }
}

/** Their updates reach the server in one turn, each of them twice. */
class SitesTogether extends Sites {
  override send(server: Server): void {
    server.later(() => {
      if (this.outbox.size < IDS.length) return;
      const updates = [...this.outbox].map(([agent, update]) => ({ agent, update, bytes: update.delta.length }));
      server.runner.onUpdates([...updates, ...updates]);
    });
  }
}

/** One life of a server, from opening the journal to its crash or its last round. */
class Server {
  readonly journal: WatchedJournal;
  readonly runner: RoundRunner;
  readonly ended: Promise<'finished' | 'crashed'>;
  passDeadline: () => void = () => undefined;
  #queue = Promise.resolve();
  #end: (how: 'finished' | 'crashed') => void = () => undefined;
  #over = false;

  constructor(file: string, sites: Sites, crash: CrashPoint | null, setup: Setup = SETUP) {
    this.ended = new Promise((resolve) => {
      this.#end = (how) => {
        this.#over = true;
        resolve(how);
      };
    });
    this.journal = crashing(openJournal(file), crash);
    this.runner = new RoundRunner({
      ...{ ...setup, journal: this.journal, run: RUN, log: SILENT },
      agents: sites.channel(this),
      timers: {
        after: (name, _ms, callback) => this.#armed(name, callback),
        sleep: () => new Promise(() => undefined),
      },
      now: () => 1_000,
      onStep: ({ state }) => {
        if (state.committed === setup.plan.rounds.count && state.current === null && state.release === null)
          this.#end('finished');
      },
      onFailure: () => undefined,
      onFatal: () => this.#end('crashed'),
    });
  }

  #armed(name: string, callback: () => void): () => void {
    if (name === 'round deadline') this.passDeadline = callback;
    return () => undefined;
  }

  /** What comes over the wire, one after the other; nothing reaches a server that is dead. */
  later(work: () => void | Promise<void>): void {
    this.#queue = this.#queue.then(async () => {
      if (this.#over) return;
      try {
        await work();
      } catch (error) {
        if (!(error instanceof Crash)) throw error;
        this.#end('crashed');
      }
    });
  }

  start(): void {
    try {
      this.runner.start();
    } catch {
      this.#end('crashed');
    }
  }

  async close(): Promise<void> {
    await this.#queue;
    await this.runner.stop();
    this.journal.close();
  }
}

class Crash extends Error {}
interface CrashPoint {
  readonly transaction: number;
  /** Just before the transaction is on the disk, or just after, with nothing done about it yet. */
  readonly when: 'before' | 'after';
}

interface WatchedJournal extends Journal {
  /** Within a transaction: nothing may follow from it yet. */
  readonly isWriting: boolean;
}

function crashing(journal: Journal, crash: CrashPoint | null): WatchedJournal {
  let transactions = 0;
  let dead = false;
  let isWriting = false;
  return {
    ...journal,
    get isWriting() {
      return isWriting;
    },
    transaction(write) {
      transactions++;
      if (dead) throw new Crash();
      isWriting = true;
      let result: ReturnType<typeof write>;
      try {
        result = journal.transaction(() => {
          const written = write();
          dead = crash?.transaction === transactions && crash.when === 'before';
          if (dead) throw new Crash();
          return written;
        });
      } finally {
        isWriting = false;
      }
      dead = crash?.transaction === transactions;
      if (dead) throw new Crash();
      return result;
    },
  };
}

const hello = () => ({
  kind: 'hello' as const,
  softwareVersion: '1',
  tags: TAGS.map(({ name }) => name),
  eligibleRows: 100,
  labelledRows: 0,
  codecs: ['f32' as const],
  engine: 'builtin',
  lineageHash: null,
  modelVersion: null,
  publicKeyId: null,
});

describe('round runner', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'twinwatch-runner-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  async function live(file: string, sites: Sites, crash: CrashPoint | null, setup = SETUP) {
    const server = new Server(file, sites, crash, setup);
    server.start();
    sites.connect(server);
    const how = await server.ended;
    const { state } = server.runner;
    const outcome = { how, state, rounds: server.journal.rounds(RUN), models: server.journal.manifests(10) };
    await server.close();
    return outcome;
  }

  it.each([
    ['cwa', {}],
    ['dtml', { method: 'dtml', count: 1, dtml: { ...config.rounds.dtml, skipRising: true } }],
    ['dtkd', { method: 'dtkd', count: 1 }],
  ])(
    'comes to the same parameters whichever step of %s it is killed at, losing no update and counting none twice',
    async (_, rounds) => {
      const setup = setupOf(rounds);
      const undisturbed = await live(join(folder, 'undisturbed.db'), new Sites(), null, setup);
      expect(undisturbed.how).toBe('finished');
      expect(undisturbed.state.optimizer).toMatchObject({ type: 'fedavgm' });
      let crashes = 0;
      // Every transaction is hit, alternately before and after it; just after one and just before the next come to the same.
      for (const [when, from] of [
        ['before', 1],
        ['after', 2],
      ] as const) {
        for (let transaction = from; ; transaction += 2) {
          const file = join(folder, `${when}-${transaction}.db`);
          const sites = new Sites();
          const first = await live(file, sites, { transaction, when }, setup);
          const last = first.how === 'crashed' ? await live(file, sites, null, setup) : first;
          expect(last.state.globalHash, `${when} transaction ${transaction}`).toBe(undisturbed.state.globalHash);
          expect(last.state.optimizer).toEqual(undisturbed.state.optimizer);
          expect(last.rounds.map(({ accepted }) => [...accepted].sort())).toEqual(
            new Array(setup.plan.rounds.count).fill(IDS),
          );
          expect(last.models.map(({ threshold }) => threshold)).toEqual([undisturbed.models[0]!.threshold]);
          expect(sites.outbox.size).toBe(0);
          if (first.how === 'finished') break;
          crashes++;
        }
      }
      expect(crashes).toBeGreaterThan(12);
    },
  );

  it('comes to the same with updates that come together, and counts two copies of one once', async () => {
    const apart = await live(join(folder, 'apart.db'), new Sites(), null);
    const sites = new SitesTogether();
    const together = await live(join(folder, 'together.db'), sites, null);
    expect(together.state.globalHash).toBe(apart.state.globalHash);
    const verdicts = sites.receipts.flatMap(({ receipt }) => ('verdict' in receipt ? [receipt.verdict] : []));
    expect(verdicts.filter((verdict) => verdict === 'accepted')).toHaveLength(verdicts.length / 2);
    expect(verdicts.filter((verdict) => verdict === 'duplicate')).toHaveLength(verdicts.length / 2);
    expect(together.rounds.map(({ accepted }) => [...accepted].sort())).toEqual(
      new Array(SETUP.plan.rounds.count).fill(IDS),
    );
  });

  it('judges what has come before it lets a deadline pass', async () => {
    const sites = new Sites();
    // They come, and wait to be judged together.
    sites.send = () => undefined;
    sites.judgeWaiting = ({ runner }) =>
      runner.onUpdates([...sites.outbox].map(([agent, update]) => ({ agent, update, bytes: 1 })));
    const server = new Server(join(folder, 'deadline.db'), sites, null);
    server.start();
    for (const agent of IDS) server.later(() => server.runner.onHello(agent, hello()));
    await vi.waitFor(() => expect(sites.outbox.size).toBe(IDS.length));
    server.passDeadline();
    await vi.waitFor(() => expect(server.journal.rounds(RUN)).toHaveLength(1));
    expect(server.journal.rounds(RUN)).toMatchObject([{ round: 1, phase: 'committed', accepted: IDS }]);
    await server.close();
  });

  it('dates a release after the one before, where the clock was set back: agents would take it for a downgrade', async () => {
    const [earlier, later] = [join(folder, 'earlier.db'), join(folder, 'later.db')];
    const [before] = (await live(earlier, new Sites(), null)).models;
    const [from, to] = [openJournal(earlier), openJournal(later)];
    to.putModel(RUN, from.latestModel()!, { ...before!, releasedAtMs: 1_000_000 });
    for (const journal of [from, to]) journal.close();
    const [after] = (await live(later, new Sites(), null)).models;
    expect(after?.modelVersion).not.toBe(before?.modelVersion);
    expect(after?.releasedAtMs).toBe(1_000_001);
  });

  it('says duplicate, not stale, of an update that had counted in a round long closed', async () => {
    const file = join(folder, 'one.db');
    const sites = new Sites();
    await live(file, sites, null);
    const server = new Server(file, sites, null);
    server.start();
    const update = { kind: 'update', round: 1, attempt: 1, baseHash: 'x', codec: 'f32', layerMask: null } as const;
    const scores = { counts: [], rows: 0 };
    const whole: Update = { ...update, delta: Uint8Array.of(1), rows: 1, loss: 0, trainingMs: 0, scores };
    server.runner.onUpdates(['site-1', 'site-9'].map((agent) => ({ agent, update: whole, bytes: 1 })));
    expect(sites.receipts.slice(-2)).toMatchObject([
      { agent: 'site-1', receipt: { verdict: 'duplicate' } },
      { agent: 'site-9', receipt: { verdict: 'unknown-agent' } },
    ]);
    await server.close();
  });

  it('keeps no payload and no parameters of rounds that are over', async () => {
    const file = join(folder, 'bounded.db');
    await live(file, new Sites(), null);
    const journal = openJournal(file);
    const { lineageHash, globalHash, twinHash, optimizer } = journal.loadState(RUN)!;
    expect(journal.updates(RUN, 1)).toEqual([]);
    expect(journal.updates(RUN, 2)).toEqual([]);
    const kept = new Set([lineageHash!, globalHash!, twinHash!, optimizer!.hash]);
    expect(journal.blobSize(optimizer!.hash)).toBe(4 * work.parameterCount);
    expect(journal.retainBlobs(kept)).toBeLessThanOrEqual(3);
    journal.close();
  });

  it('notes an agent that lacks tags, and does not count on it', async () => {
    const server = new Server(join(folder, 'tags.db'), new Sites(), null);
    server.start();
    server.runner.onHello('site-1', { ...hello(), tags: ['LEVEL'] });
    expect(server.runner.state.agents['site-1']).toMatchObject({
      compatible: false,
      detail: 'lacks the tags FLOW, PUMP',
    });
    server.runner.onHello('site-2', { ...hello(), codecs: ['int8'] });
    expect(server.runner.state.agents['site-2']?.detail).toBe('can encode updates neither as f32 nor as f32');
    await server.close();
  });

  it('asks each agent for the codec that is wanted of it, and for f32 where it lacks that', async () => {
    const asked = new Map<string, FitTask>();
    const sites = new Sites();
    const wanted = { codec: 'topk-int8', topKShare: 0.1, agentCodecs: { 'site-2': 'f16' }, count: 1 };
    const server = new Server(join(folder, 'codecs.db'), sites, null, setupOf(wanted));
    sites.onTask = (agent, task) => {
      if (task.kind === 'fit') asked.set(agent, task);
    };
    server.start();
    // Of a later release: what it can besides is nobody's business here.
    server.runner.onHello('site-1', { ...hello(), codecs: ['f32', 'int4', 'topk-int8'] });
    server.runner.onHello('site-2', { ...hello(), codecs: ['f32', 'int8'] });
    expect(await server.ended).toBe('finished');
    expect(asked.get('site-1')).toMatchObject({ codec: 'topk-int8', topKShare: 0.1 });
    expect(asked.get('site-2')).toMatchObject({ codec: 'f32' });
    expect(asked.get('site-2')).not.toHaveProperty('topKShare');
    server.runner.onHello('site-3', { ...hello(), codecs: ['int8'] });
    expect(server.runner.state.agents['site-3']?.detail).toBe('can encode updates neither as topk-int8 nor as f32');
    await server.close();
  });

  it('refuses moments of another schema', async () => {
    const server = new Server(join(folder, 'moments.db'), new Sites(), null);
    server.start();
    const moments = { count: 5, mean: [1, 2, 3], m2: [1, 1, 1] };
    const send = (change: object) => () =>
      server.runner.onCalibration('site-1', { kind: 'calibration', schemaHash: work.schemaHash, moments, ...change });
    expect(send({ schemaHash: 'other' })).toThrow(/another feature schema/);
    expect(send({ moments: { ...moments, mean: [1] } })).toThrow(/another feature schema/);
    expect(send({ moments: { ...moments, m2: [1, -1, 1] } })).toThrow(/no rows can have/);
    await server.close();
  });
});
