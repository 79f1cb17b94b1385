import { TwinwatchError } from '@twinwatch/core/errors';
import { createRandom } from '@twinwatch/core/learning/random';
import type { Logger, Timers } from '@twinwatch/core/runtime';
import { hashOf } from '@twinwatch/core/wire/blobs';
import type { ModelView } from '@twinwatch/core/wire/http';
import type {
  BlobRef,
  CalibrateTask,
  Calibration,
  EvaluateTask,
  FitTask,
  Hello,
  Manifest,
  Receipt,
  Update,
} from '@twinwatch/core/wire/messages';
import type { Journal } from './journal.js';
import { checkCalibration } from './lineage.js';
import { neededBlobs } from './retention.js';
import type { Blobs, FederationPlan, RoundWork } from './round-work.js';
import { admission } from './rounds/admission.js';
import { type Step, step } from './rounds/round-machine.js';
import {
  type CurrentRelease,
  type Effect,
  type FederationEvent,
  type FederationState,
  INITIAL_STATE,
  type MachineConfig,
  type UpdateFacts,
  type WorkEffect,
} from './rounds/round-state.js';
import { closedRoundView } from './rounds/round-view.js';
import { strategyNamed } from './strategies/by-name.js';
import { checkScores, checkUpdate } from './update-check.js';

/** The way to the agents. Nothing here may throw or be waited for: what is lost is sent again when the agent says hello. */
export interface AgentChannel {
  sendTask(agent: string, task: CalibrateTask | FitTask | EvaluateTask): void;
  sendBlob(agent: string, blob: BlobRef): void;
  sendReceipt(agent: string, receipt: Receipt): void;
  publishManifest(manifest: Manifest): void;
}

export interface RoundRunnerOptions {
  readonly plan: FederationPlan;
  readonly work: RoundWork;
  readonly journal: Journal;
  /** Names everything learned under this schema, architecture and twin. */
  readonly run: string;
  readonly agents: AgentChannel;
  readonly timers: Timers;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly log: Logger;
  /** Called after each step is journalled, before its effects. */
  readonly onStep: (step: Step) => void;
  /** A step of the server's own went wrong; it is tried again after a deadline. */
  readonly onFailure?: (error: unknown) => void;
  /** The journal cannot be written: nothing more can be done here, a restart goes on where it was. */
  readonly onFatal: (error: unknown) => void;
}

/** Performs the effects of the round machine. Each event is one transaction; only then does anything follow from it. */
export class RoundRunner {
  #state: FederationState;
  readonly #options: RoundRunnerOptions;
  readonly #machine: MachineConfig;
  readonly #stopping = new AbortController();
  readonly #working = new Set<Promise<void>>();
  readonly #blobs: Blobs;
  #cancelDeadline: () => void = () => undefined;
  #cancelCalibrationDeadline: (() => void) | null = null;

  constructor(options: RoundRunnerOptions) {
    const { journal, run, plan, work } = options;
    this.#options = options;
    this.#machine = { ...plan.rounds, seed: plan.seed, parameterBytes: work.parameterCount * 4 };
    this.#state = journal.loadState(run) ?? INITIAL_STATE;
    this.#blobs = {
      get: (hash) => journal.blob(hash) ?? missingBlob(hash),
      put: (bytes) => journal.putBlob(bytes).hash,
    };
  }

  get state(): FederationState {
    return this.#state;
  }

  get machine(): MachineConfig {
    return this.#machine;
  }

  start(): void {
    this.#dispatch({ type: 'resumed' });
  }

  /** The newest manifest again: after a release, and on every connection, since a broker may have lost what it retained. */
  publishManifest(): void {
    const [manifest] = this.#options.journal.manifests(1);
    if (manifest !== undefined) this.#options.agents.publishManifest(manifest);
  }

  /** Lets go of whatever is going on; the journal holds it. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#cancelDeadline();
    this.#cancelCalibrationDeadline?.();
    await Promise.allSettled(this.#working);
  }

  onStatus(agent: string, status: { readonly online: boolean; readonly connectionId: string }): void {
    this.#dispatch({ type: 'status', agent, online: status.online, connectionId: status.connectionId });
  }

  onHello(agent: string, hello: Hello): void {
    const { plan } = this.#options;
    const has = new Set(hello.tags);
    const absent = plan.schema.tags.filter(({ name }) => !has.has(name)).map(({ name }) => name);
    const codec = hello.codecs.includes(plan.rounds.codec);
    const problems = [
      ...(absent.length > 0 ? [`lacks the tags ${absent.slice(0, 10).join(', ')}`] : []),
      ...(codec ? [] : [`cannot encode parameters as ${plan.rounds.codec}`]),
    ];
    if (problems.length > 0) this.#options.log.warn({ agent, absent }, `agent ${agent} ${problems.join(' and ')}`);
    const detail = problems.join(' and ');
    this.#dispatch({ type: 'hello', agent, compatible: detail === '', detail, eligibleRows: hello.eligibleRows });
  }

  /** An agent has taken a person's decision about its rows. */
  onLabels(): void {
    this.#dispatch({ type: 'labels-changed' });
  }

  /** @throws TwinwatchError LINEAGE_MISMATCH */
  onCalibration(agent: string, calibration: Calibration): void {
    const { work, journal, run } = this.#options;
    checkCalibration(calibration, work.schemaHash, work.architecture.inputs);
    this.#dispatch({ type: 'calibration', agent }, () => journal.putCalibration(run, agent, calibration.moments));
  }

  /** Journals and answers an update; every update gets a receipt, whatever is wrong with it. @param bytes as received. */
  onUpdate(agent: string, update: Update, bytes: number): void {
    const { journal, run } = this.#options;
    const { round, attempt, baseHash, rows } = update;
    const kind = update.delta.length === 0 ? 'evaluate' : 'fit';
    const facts: UpdateFacts = { agent, round, attempt, kind, baseHash, rows, bytes };
    // A receipt that was lost: the machine forgets closed rounds, the journal does not.
    if (journal.hasUpdate(run, round, agent, kind)) {
      this.#receipt({ agent, round, attempt, verdict: 'duplicate', detail: 'already counted' });
      return;
    }
    const { verdict, detail } = admission(this.#state, facts) ?? this.#checkContent(kind, update);
    this.#dispatch({ type: 'update', update: facts, verdict, detail }, () => {
      if (verdict === 'accepted') journal.putUpdate(run, agent, kind, update);
      else if (verdict !== 'duplicate') {
        journal.putRejection(run, { agent, round, attempt, verdict, detail, atMs: this.#options.now() });
      }
    });
  }

  #checkContent(kind: 'fit' | 'evaluate', update: Update) {
    const { plan, work } = this.#options;
    if (kind === 'evaluate') return checkScores(update);
    let delta: Float32Array | TwinwatchError;
    try {
      delta = work.decode(update);
    } catch (error) {
      if (!(error instanceof TwinwatchError)) throw error;
      delta = error;
    }
    return checkUpdate(update, delta, {
      parameterCount: work.parameterCount,
      maximumNorm: plan.rounds.maximumUpdateNorm,
      maximumRows: plan.rounds.maximumUpdateRows,
    });
  }

  #dispatch(event: FederationEvent, write: () => void = () => undefined): void {
    if (this.#stopping.signal.aborted) return;
    const { journal, run, log, onStep, now } = this.#options;
    const before = this.#state;
    const next = step(before, event, this.#machine, now());
    journal.transaction(() => {
      write();
      if (next.state !== before) journal.saveState(run, next.state);
      for (const closed of next.closed) {
        journal.putRound(run, closed.round.attempt, closedRoundView(closed, this.#machine.method), closed.detail);
        if (closed.committed) journal.dropPayloads(run, closed.round.round);
        else if (next.state.current?.accepted.length === 0) journal.discardUpdates(run, closed.round.round);
      }
      if (next.closed.some(({ committed }) => committed)) journal.retainBlobs(neededBlobs(journal, next.state));
    });
    this.#state = next.state;
    for (const { round, committed, detail, validation } of next.closed) {
      const context = { round: round.round, attempt: round.attempt, clients: round.accepted.length, validation };
      if (committed) log.info(context, `round ${round.round} committed`);
      else log.warn(context, `round ${round.round}, attempt ${round.attempt} failed: ${detail}`);
    }
    onStep(next);
    if (event.type === 'released') this.publishManifest();
    for (const effect of next.effects) this.#perform(effect);
  }

  /** For events of the server's own, which nobody would send again. */
  #proceed(event: FederationEvent, write?: () => void): void {
    try {
      this.#dispatch(event, write);
    } catch (error) {
      this.#options.onFatal(error);
    }
  }

  #perform(effect: Effect): void {
    const { agents, plan, work, timers } = this.#options;
    switch (effect.type) {
      case 'send-calibrate':
        agents.sendTask(effect.agent, {
          kind: 'calibrate',
          schema: plan.schema,
          schemaHash: work.schemaHash,
          minimumRows: plan.rounds.minimumRows,
        });
        return;
      case 'arm-calibration-deadline':
        this.#cancelCalibrationDeadline ??= timers.after('calibration deadline', effect.ms, () => {
          this.#cancelCalibrationDeadline = null;
          this.#proceed({ type: 'calibration-deadline' });
        });
        return;
      case 'arm-deadline': {
        const { round, attempt } = effect;
        this.#cancelDeadline();
        this.#cancelDeadline = timers.after('round deadline', effect.ms, () =>
          this.#proceed({ type: 'deadline', round, attempt }),
        );
        return;
      }
      case 'send-fit':
        for (const agent of effect.agents) this.#sendFit(agent);
        return;
      case 'send-evaluate':
        for (const agent of effect.agents) this.#sendEvaluate(agent);
        return;
      case 'receipt':
        this.#receipt(effect);
        return;
      case 'freeze-lineage':
      case 'fit-twin':
      case 'aggregate':
      case 'validate':
      case 'release':
        this.#work(effect);
    }
  }

  #work(effect: WorkEffect): void {
    const { log } = this.#options;
    const working = this.#produce(effect)
      .then(({ event, write }) => this.#proceed(event, write))
      .catch((error: unknown) => {
        if (this.#stopping.signal.aborted) return;
        const detail = error instanceof Error ? error.message : String(error);
        log.error({ step: effect.type, error }, `${effect.type} failed: ${detail}`);
        this.#proceed({ type: 'step-failed', detail });
        this.#options.onFailure?.(error);
      })
      .finally(() => this.#working.delete(working));
    this.#working.add(working);
  }

  async #produce(effect: WorkEffect): Promise<{ event: FederationEvent; write?: () => void }> {
    const { journal, run, work } = this.#options;
    const { lineageHash, globalHash, twinHash, current, release } = this.#state;
    const blobs = this.#blobs;
    const early = lineageHash === null || globalHash === null || twinHash === null;
    const anchor = early ? null : { lineageHash, globalHash, twinHash };
    switch (effect.type) {
      case 'freeze-lineage':
        return { event: { type: 'lineage-frozen', ...work.freezeLineage(journal.calibrations(run), blobs) } };
      case 'fit-twin': {
        if (anchor === null || current === null) throw outOfStep(effect);
        const fromHash = effect.from === 'twin' ? anchor.twinHash : anchor.globalHash;
        const request = { lineageHash: anchor.lineageHash, fromHash, epochs: effect.epochs, round: current.round };
        return { event: { type: 'twin-fitted', ...(await work.fitTwin(request, blobs, this.#stopping.signal)) } };
      }
      case 'aggregate': {
        if (anchor === null || current === null || current.baseHash === null) throw outOfStep(effect);
        const { round, baseHash } = current;
        const request = { ...anchor, baseHash, round, updates: journal.updates(run, round) };
        return { event: { type: 'aggregated', ...work.aggregate(request, blobs) } };
      }
      case 'validate': {
        if (anchor === null) throw outOfStep(effect);
        const validation = await work.validate(anchor.lineageHash, anchor.globalHash, blobs);
        return { event: { type: 'validated', validation } };
      }
      case 'release':
        if (anchor === null || release === null) throw outOfStep(effect);
        return this.#release(anchor.lineageHash, release);
    }
  }

  async #release(lineageHash: string, release: CurrentRelease): Promise<{ event: FederationEvent; write: () => void }> {
    const { journal, run, work, now, log } = this.#options;
    const { candidate } = release;
    const releasedAtMs = now();
    const modelVersion = `v${journal.modelCount() + 1}-r${candidate.round}-${candidate.parametersHash.slice(0, 8)}`;
    const { onnx, threshold, allowedFalseRate, rocAuc, onnxDifference } = await work.release(
      {
        lineageHash,
        candidate,
        modelVersion,
        histograms: journal.histograms(run, release.round),
        clients: Object.keys(this.#state.agents).sort(),
        releasedAtMs,
      },
      this.#blobs,
    );
    const configured = this.#options.plan.detector.maximumFalseRate;
    if (allowedFalseRate > configured) {
      log.warn(
        { modelVersion, allowedFalseRate, configured },
        `no threshold keeps false alarms to ${configured} of normal rows; ${allowedFalseRate} was allowed for ${modelVersion}`,
      );
    }
    log.info({ modelVersion, threshold, rocAuc, onnxDifference }, `model ${modelVersion} is exported and checked`);
    const model: BlobRef = { hash: hashOf(onnx), bytes: onnx.length };
    const { round, parametersHash } = candidate;
    const lineage = { hash: lineageHash, bytes: this.#blobs.get(lineageHash).length };
    const manifest: Manifest = { kind: 'manifest', modelVersion, round, model, lineage, threshold, releasedAtMs };
    const view: ModelView = { modelVersion, round, ...model, threshold, rocAuc, releasedAtMs };
    return {
      event: { type: 'released', parametersHash, modelVersion },
      write: () => {
        journal.putBlob(onnx);
        journal.putModel(run, view, manifest);
      },
    };
  }

  #sendFit(agent: string): void {
    const { agents, plan } = this.#options;
    const { current, lineageHash } = this.#state;
    if (current === null || current.baseHash === null || lineageHash === null) return;
    const { round, attempt } = current;
    const { method, epochs, batchSize, learningRate, exchangeShare, codec, deadline } = plan.rounds;
    const parameters = this.#ref(current.baseHash);
    agents.sendTask(agent, {
      kind: 'fit',
      round,
      attempt,
      method,
      lineage: this.#ref(lineageHash),
      parameters,
      epochs,
      batchSize,
      learningRate,
      proximalMu: strategyNamed(method).plan({ t: round - 1, config: plan.rounds }).proximalMu,
      exchangeShare,
      codec,
      layerMask: null,
      seed: createRandom(`${plan.seed}:fit:${round}:${agent}`).integer(2 ** 31),
      deadlineMs: deadline,
    });
    agents.sendBlob(agent, parameters);
  }

  #sendEvaluate(agent: string): void {
    const { agents, plan } = this.#options;
    const { release, lineageHash } = this.#state;
    if (release === null || lineageHash === null) return;
    const { round, attempt } = release;
    const parameters = this.#ref(release.candidate.parametersHash);
    const lineage = this.#ref(lineageHash);
    agents.sendTask(agent, { kind: 'evaluate', round, attempt, lineage, parameters, deadlineMs: plan.rounds.deadline });
    agents.sendBlob(agent, parameters);
  }

  #receipt(of: { agent: string } & Omit<Extract<Receipt, { kind: 'update-receipt' }>, 'kind'>): void {
    const { agent, round, attempt, verdict, detail } = of;
    if (verdict !== 'accepted') {
      this.#options.log.warn(
        { agent, round, attempt, verdict },
        `update of ${agent} for round ${round}: ${verdict}, ${detail}`,
      );
    }
    this.#options.agents.sendReceipt(agent, { kind: 'update-receipt', round, attempt, verdict, detail });
  }

  #ref(hash: string): BlobRef {
    const bytes = this.#options.journal.blobSize(hash);
    return bytes === null ? missingBlob(hash) : { hash, bytes };
  }
}

function outOfStep(effect: Effect): TwinwatchError {
  return new TwinwatchError(
    'ROUND_OUT_OF_STEP',
    `The journalled state does not fit the step ${effect.type}; report this`,
  );
}

function missingBlob(hash: string): never {
  throw new TwinwatchError(
    'JOURNAL_BLOB_MISSING',
    `The journal has lost blob ${hash}, which the round needs; restore the dataDir from a copy, or move it away to start anew`,
    { context: { hash } },
  );
}
