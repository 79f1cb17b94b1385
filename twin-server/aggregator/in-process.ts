import type { DetectorConfig, RoundsConfig } from '@twinwatch/core/config/server';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { FeatureSchema } from '@twinwatch/core/features/spec';
import type { TrainingEngine } from '@twinwatch/core/learning/engine';
import type { Logger, Timers } from '@twinwatch/core/runtime';
import { decodeLineage, decodeParameters } from '@twinwatch/core/wire/blobs';
import { transferBytes } from '@twinwatch/core/wire/chunks';
import { encodeEnvelope } from '@twinwatch/core/wire/envelope';
import type { ModelView, RoundView } from '@twinwatch/core/wire/http';
import { withParameters } from '@twinwatch/core/wire/inline-parameters';
import type { CalibrateTask, EvaluateTask, FitTask, Hello, Lineage, WireMessage } from '@twinwatch/core/wire/messages';
import { PARAMETER_CODECS } from '@twinwatch/core/wire/parameter-codec';
import { topics } from '@twinwatch/core/wire/topics';
import { TrafficTally } from '@twinwatch/core/wire/traffic';
import type { TwinRows } from '../twin/twin-source.js';
import { type ClientExamples, type ClientRows, clientExamples } from './client-examples.js';
import { InProcessClient, type Tamper } from './in-process-client.js';
import type { Journal, RoundJournal } from './journal.js';
import { buildSchema } from './lineage.js';
import { openMemoryJournal } from './memory-journal.js';
import { RoundRunner } from './round-runner.js';
import { RoundWork } from './round-work.js';
import { closedRoundView } from './rounds/round-view.js';
import type { Step } from './rounds/step.js';
import { splitEpisodes, type TwinFeatures, twinFeatures } from './twin-rows.js';

/**
 * A whole federation in one process, without broker and wall clock, run by the same machine, checks, codecs and release
 * as the server's: for the attack catalogue, experiments and tests.
 */

interface Setting {
  readonly detector: DetectorConfig;
  /** Every client asked answers: quorum and deadline are of no account here. Those whose update is refused are not waited for. */
  readonly rounds: RoundsConfig;
  readonly seed: number;
  readonly engine: TrainingEngine;
  readonly now: () => number;
  readonly log: Logger;
  readonly signal?: AbortSignal;
}

export interface FederationRequest extends Setting {
  readonly clients: readonly ClientRows[];
  readonly twin: Pick<TwinRows, 'tags' | 'intervalMs' | 'rules' | 'episodes'>;
  readonly validationShare: number;
  readonly onRound?: (round: RoundView) => void;
  /** Rounds of an earlier call that are gone on from, as after a restart: `rounds.count` counts those too. Not closed here. */
  readonly goOn?: {
    readonly journal: Journal;
    /** People have decided about rows since. */
    readonly labelsChanged: boolean;
  };
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

/** Rounds on features that are there already, for experiments that run many federations on the same rows. */
export interface RoundsRequest extends Setting {
  readonly schema: FeatureSchema;
  readonly twin: TwinFeatures;
  readonly clients: readonly ClientExamples[];
  /** After each round, in order, before the next begins. @param global Θ after it. */
  readonly onRound: (round: RoundView, global: Float32Array, lineage: Lineage) => void;
  /** What a client that does not keep to the rules makes of what it learned. @returns [parameters] */
  readonly tamper?: Tamper;
}

/** Nobody is late, nothing is lost: no deadline ever passes. */
const NO_DEADLINES: Timers = { after: () => () => undefined, sleep: () => new Promise(() => undefined) };

const RUN = 'in-process';
const HELLO: Omit<Hello, 'tags' | 'eligibleRows'> = {
  kind: 'hello',
  softwareVersion: 'in-process',
  labelledRows: 0,
  codecs: PARAMETER_CODECS,
  engine: 'in-process',
  lineageHash: null,
  modelVersion: null,
  publicKeyId: null,
};

/** @throws TwinwatchError of whichever step fails first; the signal's reason when aborted. */
export async function runFederation(request: FederationRequest): Promise<FederationOutcome> {
  const { detector, twin, seed, goOn } = request;
  const episodes = splitEpisodes(twin.episodes, { validationShare: request.validationShare, seed });
  const schema = buildSchema(detector, twin, episodes.training);
  const journal = goOn?.journal ?? openMemoryJournal();
  try {
    return await federate({
      ...{ setting: request, schema, journal, twin: twinFeatures(schema, episodes) },
      clients: request.clients.map((rows) => clientExamples(schema, rows)),
      labelsChanged: goOn?.labelsChanged ?? false,
      onStep({ state, closed }, { work, method }, resolve) {
        const last = closed.at(-1);
        if (last !== undefined) request.onRound?.(closedRoundView(last, method));
        if (state.committed < request.rounds.count || state.release !== null) return;
        const model = journal.latestModel();
        if (model === null || state.lineageHash === null || state.released === null) return;
        resolve({
          lineage: decodeLineage(blobOf(journal, state.lineageHash)),
          parameters: decodeParameters(blobOf(journal, state.released.parametersHash), work.parameterCount),
          threshold: model.threshold,
          model,
          onnx: blobOf(journal, model.hash),
          rounds: journal.rounds(RUN),
        });
      },
    });
  } finally {
    if (goOn === undefined) journal.close();
  }
}

/**
 * The rounds alone, without the release after the last: no threshold and no ONNX file.
 * @throws TwinwatchError of whichever step fails first; the signal's reason when aborted.
 */
export function runRounds(request: RoundsRequest): Promise<void> {
  const { schema, twin, clients, tamper } = request;
  const journal = openMemoryJournal();
  let lineage: Lineage | null = null;
  return federate({
    ...{ setting: request, schema, journal, twin, clients, tamper, labelsChanged: false },
    onStep({ state, closed }, { work, method }, resolve) {
      for (const round of closed) {
        if (!round.committed || state.lineageHash === null || state.globalHash === null) continue;
        lineage ??= decodeLineage(blobOf(journal, state.lineageHash));
        const global = decodeParameters(blobOf(journal, state.globalHash), work.parameterCount);
        request.onRound(closedRoundView(round, method), global, lineage);
      }
      if (state.committed >= request.rounds.count) resolve();
    },
  });
}

interface Federated<T> {
  readonly setting: Setting;
  readonly schema: FeatureSchema;
  readonly twin: TwinFeatures;
  readonly journal: RoundJournal;
  readonly clients: readonly ClientExamples[];
  readonly labelsChanged: boolean;
  readonly tamper?: Tamper | undefined;
  readonly onStep: (
    step: Step,
    about: { readonly work: RoundWork; readonly method: RoundsConfig['method'] },
    resolve: (outcome: T) => void,
  ) => void;
}

const blobOf = (journal: RoundJournal, hash: string): Uint8Array => journal.blob(hash) ?? new Uint8Array();

async function federate<T>({ setting, schema, twin, journal, tamper, ...request }: Federated<T>): Promise<T> {
  const { detector, engine, seed, signal, log, now } = setting;
  const clients = new Map<string, InProcessClient>();
  for (const examples of request.clients) {
    if (examples.training.length > 0) clients.set(examples.id, new InProcessClient(examples, tamper ?? null));
  }
  const rounds: RoundsConfig = { ...setting.rounds, quorum: 1 };
  const plan = { federation: RUN, schema, detector, rounds, seed };
  const work = new RoundWork(plan, engine, twin);
  const blob = (hash: string): Uint8Array => blobOf(journal, hash);
  const traffic = new TrafficTally();
  const at = topics(RUN);
  const performed = new Set<string>();
  let queue = Promise.resolve();
  let isOver = false;
  let stop = (): Promise<void> => Promise.resolve();

  try {
    return await new Promise<T>((resolve, reject) => {
      const perform = async (agent: string, task: CalibrateTask | FitTask | EvaluateTask): Promise<void> => {
        signal?.throwIfAborted();
        if (isOver) return;
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
        const bytes = enveloped(agent, update);
        traffic.count(at.agent(agent).up, transferBytes(bytes));
        runner.onUpdates([{ agent, update, bytes: bytes.length }]);
      };
      const about = { work, method: rounds.method };
      const runner: RoundRunner = new RoundRunner({
        ...{ plan, work, journal, run: RUN, now, log },
        timers: NO_DEADLINES,
        agents: {
          sendTask(agent, task) {
            const whole = task.kind === 'calibrate' ? task : withParameters(task, blob(task.parameters.hash));
            traffic.count(at.agent(agent).task, enveloped('server', whole).length);
            if (whole.kind !== 'calibrate' && whole.inline === undefined)
              traffic.count(at.agent(agent).down, transferBytes(blob(whole.parameters.hash)));
            queue = queue.then(() => perform(agent, task)).catch(reject);
          },
          sendReceipt(agent, receipt) {
            traffic.count(at.agent(agent).receipt, enveloped('server', receipt).length);
            clients.get(agent)?.onReceipt(receipt);
          },
          judgeWaiting: () => undefined,
          publishManifest: () => undefined,
          takeTraffic: () => traffic.take(),
        },
        onStep(step) {
          if (areAllRefused(step)) reject(allRefused(step));
          request.onStep(step, about, (outcome) => {
            isOver = true;
            resolve(outcome);
          });
        },
        onFailure: reject,
        onFatal: reject,
      });
      stop = () => runner.stop();
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
      const tags = schema.tags.map(({ name }) => name);
      runner.start();
      if (request.labelsChanged) runner.onLabels();
      for (const [id, { trainingRows }] of clients) {
        runner.onHello(id, { ...HELLO, tags, eligibleRows: trainingRows });
      }
    });
  } finally {
    await stop();
    await queue;
  }
}

/** As it would go over the wire, to be counted: sequences and times have the size that they have there. */
function enveloped(sender: string, message: WireMessage): Uint8Array {
  return encodeEnvelope({ federation: RUN, sender, sequence: 2 ** 50, sentAtMs: 2 ** 40, message });
}

/** No deadline would ever try that round again. */
function areAllRefused({ state: { current } }: Step): boolean {
  return current?.step === 'collecting' && current.asked.every((agent) => current.refused.includes(agent));
}

function allRefused({ state: { current } }: Step): TwinwatchError {
  const last = current?.rejected.at(-1);
  return new TwinwatchError(
    'ROUND_NOT_AGGREGATED',
    `Round ${current?.round} has no update that counts: the last one was refused as ${last?.verdict}, ${last?.detail}`,
  );
}
