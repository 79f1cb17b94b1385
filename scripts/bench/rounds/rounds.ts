import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createRandom } from '@twinwatch/core/learning/random';
import type { Journal } from '@twinwatch/twin-server/aggregator/journal';
import type { Step } from '@twinwatch/twin-server/aggregator/rounds/step';
import { openJournal } from '@twinwatch/twin-server/aggregator/sqlite-journal';
import type { TwinRows } from '@twinwatch/twin-server/twin/twin-source';
import { markdownTable } from '../../experiments/summary.js';
import { AGENT_TAGS, openServer } from '../../federation-test/bed.js';
import { choosePorts } from '../../processes/ports.js';
import type { AgentsReport, AgentsSpec } from './agents-process.js';

const AGENTS = 20;
/** For all code to be compiled, and for steady percentiles. */
const WARM_UP_ROUNDS = 100;
const MEASURED_ROUNDS = 100;
const INTERVAL_MS = 900_000;
const ROWS_EACH = 60;
const VALIDATION_EPISODES = 10;
const ROWS_PER_EPISODE = 7 * 96;
const REQUIRED_P50_MS = 50;
/** Rounds that take as long will never end. */
const PATIENCE_MS = 600_000;
const LOG = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: console.error };

const PARTS = ['to the first update', 'to the last update', 'averaged', 'validated and committed'] as const;

/** Of one round. */
interface Round {
  /** Of each of PARTS. */
  readonly partsMs: readonly number[];
  readonly journalMs: number;
}

/**
 * What a round takes from its tasks to its commit where nobody trains: 20 agents in a process of their own, the broker in another, the server with its journal in this
 * one. Resolves with the exit code: 1 where the median is above 50 ms.
 */
export async function benchRounds(): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'twinwatch-bench-rounds-'));
  const { broker: port } = await choosePorts(['broker'], 24_000 + (process.pid % 400) * 10, false);
  const broker = await startBroker(directory, port);
  const journalClock = { ms: 0 };
  const rounds = new RoundClock(journalClock);
  const server = openServer({
    ...{ port, directory, log: LOG, twin: noise(), onStep: (step) => rounds.step(step) },
    open: (file) => timedJournal(openJournal(file), journalClock),
    detector: { hidden: [16, 8] },
    rounds: {
      ...{ method: 'fedavg', count: 100_000, quorum: AGENTS, minimumRows: ROWS_EACH / 2, releaseEvery: 0 },
      exchangeRows: 0,
    },
  });
  const spec: AgentsSpec = { port, directory, agents: AGENTS, rowsEach: ROWS_EACH, intervalMs: INTERVAL_MS };
  const agents = start('./agents-process.js', JSON.stringify(spec));
  await rounds.count(WARM_UP_ROUNDS);
  const before = { server: processorMs(), agents: await agentsMs(agents) };
  const measured = await rounds.count(MEASURED_ROUNDS);
  const after = { server: processorMs(), agents: await agentsMs(agents) };
  print(measured, {
    server: (after.server - before.server) / measured.length,
    agents: (after.agents - before.agents) / measured.length,
  });
  await stop(agents, () => agents.send('stop'));
  await server.close();
  await stop(broker, () => broker.kill('SIGTERM'));
  rmSync(directory, { recursive: true });
  return percentile(measured.map(wholeMs), 0.5) <= REQUIRED_P50_MS ? 0 : 1;
}

/** When what was journalled, by the rounds. */
class RoundClock {
  readonly #journal: { readonly ms: number };
  #marks: number[] = [];
  #journalMs = 0;
  #measured: Round[] = [];
  #onRound: () => void = () => undefined;

  constructor(journal: { readonly ms: number }) {
    this.#journal = journal;
  }

  step({ state: { current }, effects, closed }: Step): void {
    const nowMs = performance.now();
    // A round's commit and the next one's tasks are one step.
    if (closed.some(({ committed }) => committed)) {
      const marks = [...this.#marks, nowMs];
      if (marks.length === PARTS.length + 1)
        this.#measured.push({
          partsMs: PARTS.map((_, i) => marks[i + 1]! - marks[i]!),
          journalMs: this.#journal.ms - this.#journalMs,
        });
      this.#onRound();
    }
    if (effects.some(({ type }) => type === 'send-fit')) {
      this.#marks = [nowMs];
      this.#journalMs = this.#journal.ms;
    } else if (this.#marks.length === 1 && current?.accepted.length === 1) this.#marks.push(nowMs);
    else if (effects.some(({ type }) => type === 'aggregate' || type === 'validate')) this.#marks.push(nowMs);
  }

  async count(rounds: number): Promise<readonly Round[]> {
    this.#measured = [];
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`no ${rounds} rounds within ${PATIENCE_MS} ms`)), PATIENCE_MS);
      this.#onRound = () => {
        if (this.#measured.length < rounds) return;
        clearTimeout(late);
        resolve();
      };
    });
    return this.#measured;
  }
}

function print(rounds: readonly Round[], cpuMs: { readonly server: number; readonly agents: number }): void {
  const row = (name: string, ms: readonly number[]) => [
    name,
    ...[0.5, 0.95, 1].map((share) => percentile(ms, share).toFixed(1)),
  ];
  const head = [`ms of a round of ${AGENTS} agents, 43-16-8-1`, 'p50', 'p95', 'longest'];
  const parts = PARTS.map((part, i) =>
    row(
      part,
      rounds.map(({ partsMs }) => partsMs[i]!),
    ),
  );
  const whole = row('whole round', rounds.map(wholeMs));
  const journal = row(
    'of that, in the journal',
    rounds.map(({ journalMs }) => journalMs),
  );
  console.log(markdownTable(head, [...parts, whole, journal]));
  console.log(
    `${rounds.length} rounds; p50 required ${REQUIRED_P50_MS} ms. Processor: server ${cpuMs.server.toFixed(1)} ms a round, ${AGENTS} agents ${cpuMs.agents.toFixed(1)} ms`,
  );
  console.log(
    `${cpus()[0]?.model.trim() ?? 'processor'} (${availableParallelism()} cores, load ${loadavg()[0]!.toFixed(1)}), Node ${process.version}`,
  );
}

const wholeMs = ({ partsMs }: Round) => partsMs.reduce((sum, ms) => sum + ms, 0);

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

/** Outermost transactions only. */
function timedJournal(journal: Journal, clock: { ms: number }): Journal {
  let depth = 0;
  return {
    ...journal,
    transaction(work) {
      if (depth > 0) return journal.transaction(work);
      depth++;
      const fromMs = performance.now();
      try {
        return journal.transaction(work);
      } finally {
        depth--;
        clock.ms += performance.now() - fromMs;
      }
    },
  };
}

/** A twin's rows of the size that the defaults give; what is in them makes no difference to the time. */
function noise(): TwinRows {
  const random = createRandom('bench rounds');
  const tags = AGENT_TAGS.map((name) => ({ name, unit: '', kind: 'analog', resolution: 0.1 }) as const);
  const episodes = Array.from({ length: 2 * VALIDATION_EPISODES }, (_, episode) => ({
    rows: Array.from({ length: ROWS_PER_EPISODE }, (_, sequence) => ({
      ...{ timeMs: sequence * INTERVAL_MS, sequence },
      values: Float64Array.from(AGENT_TAGS, () => 100 * random.next()),
    })),
    labels: Uint8Array.from({ length: ROWS_PER_EPISODE }, (_, row) => (episode % 2 === 1 && row > 400 ? 1 : 0)),
    excluded: new Uint8Array(ROWS_PER_EPISODE),
    attackNames: new Array<null>(ROWS_PER_EPISODE).fill(null),
  }));
  return { tags, intervalMs: INTERVAL_MS, warnings: new Map(), episodes };
}

function start(file: string, ...args: string[]): ChildProcess {
  return fork(fileURLToPath(new URL(file, import.meta.url)), args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
}

async function startBroker(directory: string, port: number): Promise<ChildProcess> {
  const config = join(directory, 'broker.yaml');
  writeFileSync(config, JSON.stringify({ host: '127.0.0.1', port, dataDir: 'broker' }));
  const broker = start('../../twinwatch.js', 'broker', '--config', config);
  await new Promise<void>((resolve, reject) => {
    broker.on('message', ({ ready }: { ready?: boolean }) => ready === true && resolve());
    broker.once('exit', () => reject(new Error('the broker ended at its start')));
  });
  return broker;
}

async function stop(child: ChildProcess, how: () => void): Promise<void> {
  const ended = once(child, 'exit');
  how();
  await ended;
}

async function agentsMs(agents: ChildProcess): Promise<number> {
  agents.send('report');
  const [{ cpuMs }] = (await once(agents, 'message')) as [AgentsReport];
  return cpuMs;
}

function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}
