import { TwinwatchError } from '@twinwatch/core/errors';
import { createRandom } from '@twinwatch/core/learning/random';
import type { Logger, Timers } from '@twinwatch/core/runtime';
import { hashOf } from '@twinwatch/core/wire/blobs';
import type { ModelView } from '@twinwatch/core/wire/http';
import type { BlobRef, CalibrateTask, EvaluateTask, FitTask, Manifest, Receipt } from '@twinwatch/core/wire/messages';
import type { AgentTraffic } from '@twinwatch/core/wire/traffic';
import { chosenCodec, wantedCodec } from './codec-choice.js';
import type { RoundJournal } from './journal.js';
import type { Blobs, FederationPlan, RoundWork } from './round-work.js';
import type { CurrentRelease, Effect, FederationEvent, FederationState, WorkEffect } from './rounds/round-state.js';

/** The way to the agents. Nothing here may throw or be waited for: what is lost is sent again when the agent says hello. */
export interface AgentChannel {
  /** With the parameters that it names. */
  sendTask(agent: string, task: CalibrateTask | FitTask | EvaluateTask): void;
  sendReceipt(agent: string, receipt: Receipt): void;
  /** Updates that have come and wait for others to be judged with are judged, now. */
  judgeWaiting(): void;
  publishManifest(manifest: Manifest): void;
  /** What crossed the wire for learning since it was last taken, by agent. */
  takeTraffic(): ReadonlyMap<string, AgentTraffic>;
}

export interface EffectPerformerOptions {
  readonly plan: FederationPlan;
  readonly work: RoundWork;
  readonly journal: RoundJournal;
  /** Names everything learned under this schema, architecture and twin. */
  readonly run: string;
  readonly agents: AgentChannel;
  readonly timers: Timers;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly log: Logger;
  /** A step of the server's own went wrong; it is tried again after a deadline. */
  readonly onFailure?: (error: unknown) => void;
}

interface Proceeding {
  /** What came of an effect: the machine's next event, and what is written together with it. */
  readonly proceed: (event: FederationEvent, write?: () => void) => void;
}

/** Does what the round machine decided: tasks and receipts out, deadlines, and the server's own training, averaging and releases. */
export class EffectPerformer {
  readonly #options: EffectPerformerOptions & Proceeding;
  readonly #stopping = new AbortController();
  readonly #working = new Set<Promise<void>>();
  readonly #blobs: Blobs;
  #cancelDeadline: () => void = () => undefined;
  #cancelCalibrationDeadline: (() => void) | null = null;

  constructor(options: EffectPerformerOptions & Proceeding) {
    const { journal } = options;
    this.#options = options;
    this.#blobs = {
      get: (hash) => journal.blob(hash) ?? missingBlob(hash),
      put: (bytes) => journal.putBlob(bytes).hash,
    };
  }

  /** Lets go of whatever is going on. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#cancelDeadline();
    this.#cancelCalibrationDeadline?.();
    await Promise.allSettled(this.#working);
  }

  /** Must not throw for what can be repaired later. @param state as it is now, the effect's step included. */
  perform(effect: Effect, state: FederationState): void {
    const { agents, plan, work, timers, proceed } = this.#options;
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
          proceed({ type: 'calibration-deadline' });
        });
        return;
      case 'arm-deadline': {
        const { round, attempt } = effect;
        this.#cancelDeadline();
        this.#cancelDeadline = timers.after('round deadline', effect.ms, () => {
          // They have come in time.
          agents.judgeWaiting();
          proceed({ type: 'deadline', round, attempt });
        });
        return;
      }
      case 'send-fit':
        for (const agent of effect.agents) this.#sendFit(agent, state);
        return;
      case 'send-evaluate':
        for (const agent of effect.agents) this.#sendEvaluate(agent, state);
        return;
      case 'receipt':
        this.sendReceipt(effect);
        return;
      case 'freeze-lineage':
      case 'fit-twin':
      case 'aggregate':
      case 'validate':
      case 'release':
        this.#work(effect, state);
    }
  }

  #work(effect: WorkEffect, state: FederationState): void {
    const { log, proceed } = this.#options;
    const working = this.#produce(effect, state)
      .then(({ event, write }) => proceed(event, write))
      .catch((error: unknown) => {
        if (this.#stopping.signal.aborted) return;
        const detail = error instanceof Error ? error.message : String(error);
        log.error({ step: effect.type, error }, `${effect.type} failed: ${detail}`);
        proceed({ type: 'step-failed', detail });
        this.#options.onFailure?.(error);
      })
      .finally(() => this.#working.delete(working));
    this.#working.add(working);
  }

  async #produce(effect: WorkEffect, state: FederationState): Promise<{ event: FederationEvent; write?: () => void }> {
    const { journal, run, work } = this.#options;
    const { lineageHash, globalHash, twinHash, optimizer, current, release } = state;
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
        const { twinHash } = await work.fitTwin(request, blobs, this.#stopping.signal);
        const teacher = effect.isTeacher ? work.encodeTeacher(twinHash, blobs) : null;
        return { event: { type: 'twin-fitted', twinHash, teacher } };
      }
      case 'aggregate': {
        if (anchor === null || current === null || current.baseHash === null) throw outOfStep(effect);
        const { round, baseHash } = current;
        const request = { ...anchor, optimizer, baseHash, round, updates: journal.updates(run, round) };
        return { event: { type: 'aggregated', ...(await work.aggregate(request, blobs)) } };
      }
      case 'validate': {
        if (anchor === null) throw outOfStep(effect);
        const validation = await work.validate(anchor.lineageHash, anchor.globalHash, blobs);
        return { event: { type: 'validated', validation } };
      }
      case 'release':
        if (anchor === null || release === null) throw outOfStep(effect);
        return this.#release(anchor.lineageHash, release, Object.keys(state.agents).sort());
    }
  }

  async #release(
    lineageHash: string,
    release: CurrentRelease,
    clients: string[],
  ): Promise<{ event: FederationEvent; write: () => void }> {
    const { journal, run, work, now, log } = this.#options;
    const { candidate } = release;
    const [last] = journal.manifests(1);
    // Agents take a model that is older than theirs for a downgrade, also where it is this clock that was set back.
    const releasedAtMs = Math.max(now(), last === undefined ? 0 : last.releasedAtMs + 1);
    const modelVersion = `v${journal.modelCount() + 1}-r${candidate.round}-${candidate.parametersHash.slice(0, 8)}`;
    const { onnx, threshold, allowedFalseRate, rocAuc, onnxDifference } = await work.release(
      {
        lineageHash,
        candidate,
        modelVersion,
        histograms: journal.histograms(run, release.round),
        clients,
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
    const { prAuc, attackShare, loss } = candidate.validation;
    const view: ModelView = {
      ...{ modelVersion, round, ...model, threshold, rocAuc, releasedAtMs },
      provenance: {
        ...{ method: this.#options.plan.rounds.method, contributors: journal.contributors(run, round) },
        ...{ lineageHash, parametersHash, prAuc, loss, allowedFalseRate, onnxDifference },
        ...(attackShare === undefined ? {} : { attackShare }),
      },
    };
    return {
      event: { type: 'released', parametersHash, modelVersion },
      write: () => {
        journal.putBlob(onnx);
        journal.putModel(run, view, manifest);
      },
    };
  }

  #sendFit(agent: string, { current, lineageHash, teacher, agents: known }: FederationState): void {
    const { agents, plan, work } = this.#options;
    if (current === null || current.baseHash === null || lineageHash === null) return;
    const { round, attempt } = current;
    const { method, epochs, batchSize, learningRate, exchangeShare, topKShare, deadline } = plan.rounds;
    const codec = chosenCodec(wantedCodec(plan.rounds, agent), known[agent]?.codecs ?? []);
    const { proximalMu, layerMask, teacher: isTaught } = work.planOf(round);
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
      proximalMu,
      exchangeShare,
      codec,
      ...(codec.startsWith('topk-') ? { topKShare } : {}),
      layerMask,
      ...(isTaught === null || teacher === null ? {} : { distillation: work.teacherTask(teacher) }),
      seed: createRandom(`${plan.seed}:fit:${round}:${agent}`).integer(2 ** 31),
      deadlineMs: deadline,
    });
  }

  #sendEvaluate(agent: string, { release, lineageHash }: FederationState): void {
    const { agents, plan } = this.#options;
    if (release === null || lineageHash === null) return;
    const { round, attempt } = release;
    const parameters = this.#ref(release.candidate.parametersHash);
    const lineage = this.#ref(lineageHash);
    agents.sendTask(agent, { kind: 'evaluate', round, attempt, lineage, parameters, deadlineMs: plan.rounds.deadline });
  }

  sendReceipt(of: { agent: string } & Omit<Extract<Receipt, { kind: 'update-receipt' }>, 'kind'>): void {
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
