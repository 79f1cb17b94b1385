import type { DetectorConfig, RoundsConfig } from '@twinwatch/core/config/server';
import type { TrainingEngine } from '@twinwatch/core/learning/engine';
import type { Logger, Timers } from '@twinwatch/core/runtime';
import { decodeLineage, decodeParameters } from '@twinwatch/core/wire/blobs';
import type { ModelView, RoundView } from '@twinwatch/core/wire/http';
import type { CalibrateTask, EvaluateTask, FitTask, Hello, Lineage } from '@twinwatch/core/wire/messages';
import type { TwinRows } from '../twin/twin-source.js';
import { type ClientRows, InProcessClient } from './in-process-client.js';
import { type Journal, openJournal } from './journal.js';
import { buildSchema } from './lineage.js';
import { RoundRunner } from './round-runner.js';
import { RoundWork } from './round-work.js';
import { closedRoundView } from './rounds/round-view.js';
import { splitEpisodes, twinFeatures } from './twin-rows.js';

/**
 * A whole federation in one process, without broker and wall clock, run by the same machine, journal, checks, codecs and release
 * as the server's: for the attack catalogue, experiments and tests.
 */

export interface FederationRequest {
  readonly clients: readonly ClientRows[];
  readonly twin: Pick<TwinRows, 'tags' | 'intervalMs' | 'episodes'>;
  readonly detector: DetectorConfig;
  /** Every client asked must answer: quorum and deadline are of no account here. */
  readonly rounds: RoundsConfig;
  readonly validationShare: number;
  readonly seed: number;
  readonly engine: TrainingEngine;
  readonly now: () => number;
  readonly log: Logger;
  readonly onRound?: (round: RoundView) => void;
  /** Rounds of an earlier call that are gone on from, as after a restart: `rounds.count` counts those too. Not closed here. */
  readonly goOn?: {
    readonly journal: Journal;
    /** People have decided about rows since. */
    readonly labelsChanged: boolean;
  };
  readonly signal?: AbortSignal;
}

export interface FederationOutcome {
  readonly lineage: Lineage;
  /** Of the released round, which is the best on the twin's validation episodes. */
  readonly parameters: Float32Array;
  readonly threshold: number;
  readonly model: ModelView;
  readonly onnx: Uint8Array;
  readonly rounds: readonly RoundView[];
}

/** Nobody is late, nothing is lost: no deadline ever passes. */
const NO_DEADLINES: Timers = { after: () => () => undefined, sleep: () => new Promise(() => undefined) };

const RUN = 'in-process';
const HELLO: Omit<Hello, 'tags' | 'eligibleRows'> = {
  kind: 'hello',
  softwareVersion: 'in-process',
  labelledRows: 0,
  codecs: ['f32', 'int8'],
  engine: 'in-process',
  lineageHash: null,
  modelVersion: null,
  publicKeyId: null,
};

/** @throws TwinwatchError of whichever step fails first; the signal's reason when aborted. */
export async function runFederation(request: FederationRequest): Promise<FederationOutcome> {
  const { detector, engine, twin, seed, signal, log, now } = request;
  const episodes = splitEpisodes(twin.episodes, { validationShare: request.validationShare, seed });
  const schema = buildSchema(detector, twin, episodes.training);
  const clients = new Map<string, InProcessClient>();
  for (const rows of request.clients) {
    const client = new InProcessClient(schema, rows);
    if (client.trainingRows > 0) clients.set(rows.id, client);
  }
  const quorum = Math.max(1, Math.ceil(request.rounds.fraction * clients.size));
  const rounds: RoundsConfig = { ...request.rounds, quorum };
  const plan = { federation: RUN, schema, detector, rounds, seed };
  const work = new RoundWork(plan, engine, twinFeatures(schema, episodes));
  const journal = request.goOn?.journal ?? openJournal(':memory:');
  const blob = (hash: string): Uint8Array => journal.blob(hash) ?? new Uint8Array();
  const performed = new Set<string>();
  let queue = Promise.resolve();
  let stop = (): Promise<void> => Promise.resolve();

  try {
    return await new Promise<FederationOutcome>((resolve, reject) => {
      const perform = async (agent: string, task: CalibrateTask | FitTask | EvaluateTask): Promise<void> => {
        signal?.throwIfAborted();
        const client = clients.get(agent)!;
        if (task.kind === 'calibrate') {
          const moments = client.moments.toJSON();
          runner.onCalibration(agent, { kind: 'calibration', schemaHash: task.schemaHash, moments });
          return;
        }
        // A round that is gone on with is asked for at the start and at the hello; an agent does not do it twice either.
        const key = `${agent} ${task.kind} ${task.round} ${task.attempt}`;
        if (performed.has(key)) return;
        performed.add(key);
        const base = decodeParameters(blob(task.parameters.hash), work.parameterCount);
        const update = await client.answer(task, { base, blob, engine, signal });
        runner.onUpdate(agent, update, update.delta.length);
      };
      const runner: RoundRunner = new RoundRunner({
        ...{ plan, work, journal, run: RUN, now, log },
        timers: NO_DEADLINES,
        agents: {
          sendTask(agent, task) {
            queue = queue.then(() => perform(agent, task)).catch(reject);
          },
          sendBlob: () => undefined,
          sendReceipt: (agent, receipt) => clients.get(agent)?.onReceipt(receipt),
          publishManifest: () => undefined,
        },
        onStep({ state, closed }) {
          const last = closed.at(-1);
          if (last !== undefined) request.onRound?.(closedRoundView(last, rounds.method));
          if (state.committed < rounds.count || state.release !== null) return;
          const model = journal.latestModel();
          if (model === null || state.lineageHash === null || state.released === null) return;
          resolve({
            lineage: decodeLineage(blob(state.lineageHash)),
            parameters: decodeParameters(blob(state.released.parametersHash), work.parameterCount),
            threshold: model.threshold,
            model,
            onnx: blob(model.hash),
            rounds: journal.rounds(RUN),
          });
        },
        onFailure: reject,
        onFatal: reject,
      });
      stop = () => runner.stop();
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
      const tags = schema.tags.map(({ name }) => name);
      runner.start();
      if (request.goOn?.labelsChanged === true) runner.onLabels();
      for (const [id, { trainingRows }] of clients) {
        runner.onHello(id, { ...HELLO, tags, eligibleRows: trainingRows });
      }
    });
  } finally {
    await stop();
    await queue;
    if (request.goOn === undefined) journal.close();
  }
}
