import { durationText } from '@twinwatch/core/config/duration';
import { TwinwatchError } from '@twinwatch/core/errors';
import { schemaHash } from '@twinwatch/core/features/schema';
import type { FeatureSchema } from '@twinwatch/core/features/spec';
import type { TrainingEngine } from '@twinwatch/core/learning/engine';
import { decodeLineage } from '@twinwatch/core/wire/blobs';
import { inlineParameters } from '@twinwatch/core/wire/inline-parameters';
import type { CalibrateTask, EvaluateTask, FitTask, Lineage, Update } from '@twinwatch/core/wire/messages';
import {
  calibration,
  countEligible,
  evaluate,
  type FitMaterial,
  fitTask,
  type OwnRows,
  ownRows,
  type TrainingLimits,
} from '../training/local-training.js';
import { ownProfile } from '../training/own-profile.js';
import type { BlobFetcher } from './blob-fetcher.js';
import { type FederationContext, sendCalibration } from './federation-context.js';
import type { UpdateOutbox } from './update-outbox.js';

export type Task = CalibrateTask | FitTask | EvaluateTask;

export interface TaskRunnerOptions {
  readonly context: FederationContext;
  readonly blobs: BlobFetcher;
  readonly updates: UpdateOutbox;
  readonly engine: () => Promise<TrainingEngine>;
  readonly limits: TrainingLimits;
  readonly siteTags: () => readonly string[];
  /** Of this site's rows. */
  readonly intervalMs: number;
  /** What is wrong with that interval; null where nothing is. Called whenever it changes. */
  readonly onIntervalFault: (words: string | null) => void;
  /** A lineage was taken up: the hello has changed. */
  readonly onLineage: (hash: string) => void;
}

const LOOK_AGAIN_MS = 2_000;
/** Of features kept from one round to the next: 16 MB. */
const KEPT_VALUES = 4_194_304;
/** A recording's interval is measured, and may be a little off; features of a twentieth's difference are still the same. */
const INTERVAL_TOLERANCE = 0.05;

/** Does what the server asks for, one task at a time; a newer task ends the one under way. */
export class TaskRunner {
  readonly #options: TaskRunnerOptions;
  #lineage: { readonly hash: string; readonly lineage: Lineage } | null = null;
  #own: { readonly hash: string; readonly revision: number; readonly rows: OwnRows } | null = null;
  #intervalFault: string | null = null;
  #current: { readonly task: Task; readonly abort: AbortController; readonly done: Promise<void> } | null = null;

  constructor(options: TaskRunnerOptions) {
    this.#options = options;
  }

  /** Returns at once. The same task again (QoS 1, or a server that restarted) does not start the work afresh. */
  take(task: Task, signal: AbortSignal): void {
    const { updates, context, blobs } = this.#options;
    const inline = task.kind === 'calibrate' ? null : inlineParameters(task);
    if (inline !== null && task.kind !== 'calibrate') blobs.arrived(task.parameters.hash, inline);
    if (task.kind !== 'calibrate' && updates.holds(task.round, task.attempt, task.parameters.hash)) {
      updates.goOn(task.deadlineMs, signal);
      return;
    }
    const before = this.#current;
    if (before !== null && sameTask(before.task, task)) return;
    before?.abort.abort(new TwinwatchError('AGENT_NOT_READY', 'a newer task has come'));
    const abort = new AbortController();
    const both = AbortSignal.any([signal, abort.signal]);
    const done = (async () => {
      await before?.done;
      try {
        await this.#perform(task, both);
      } catch (error) {
        if (both.aborted) return;
        context.log.warn(
          { task: task.kind, error: error instanceof Error ? error.message : String(error) },
          'task failed',
        );
      } finally {
        if (this.#current?.abort === abort) this.#current = null;
      }
    })();
    this.#current = { task, abort, done };
  }

  /** Resolves when nothing is under way; the signal given to `take` ends what is. */
  async idle(): Promise<void> {
    await this.#current?.done;
  }

  async #perform(task: Task, signal: AbortSignal): Promise<void> {
    switch (task.kind) {
      case 'calibrate':
        return this.#calibrate(task, signal);
      case 'fit':
        return this.#within(task.deadlineMs, signal, (deadline) => this.#fit(task, deadline, signal));
      case 'evaluate':
        return this.#within(task.deadlineMs, signal, (deadline) => this.#evaluate(task, deadline, signal));
    }
  }

  /** The work's signal aborts at the deadline as well. */
  async #within(
    deadlineMs: number,
    signal: AbortSignal,
    work: (deadline: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const late = new AbortController();
    const cancel = this.#options.context.timers.after('task-deadline', deadlineMs, () =>
      late.abort(new TwinwatchError('AGENT_NOT_READY', `not done within the ${deadlineMs} ms of the task`)),
    );
    try {
      await work(AbortSignal.any([signal, late.signal]));
    } finally {
      cancel();
    }
  }

  async #calibrate(task: CalibrateTask, signal: AbortSignal): Promise<void> {
    const { context, limits } = this.#options;
    this.#requireSchema(task.schema);
    if (schemaHash(task.schema) !== task.schemaHash)
      throw new TwinwatchError(
        'AGENT_NOT_READY',
        'the schema in the task is not the one its hash names; run the same release on both ends',
      );
    for (;;) {
      signal.throwIfAborted();
      const { eligible } = await countEligible(context.store, limits);
      const own = eligible >= task.minimumRows ? await ownRows(context.store, task.schema, limits) : null;
      if (own !== null && own.moments.count >= Math.max(1, task.minimumRows)) {
        context.log.info({ rows: own.moments.count }, 'calibrated');
        const profile =
          task.profile === undefined
            ? undefined
            : await ownProfile(context.store, task.schema, limits, task.profile, signal);
        await sendCalibration(context, calibration(task.schemaHash, own, profile), signal);
        return;
      }
      context.log.debug({ eligible, needed: task.minimumRows }, 'not enough rows to calibrate yet');
      await context.timers.sleep('calibrate-wait', LOOK_AGAIN_MS, signal);
    }
  }

  async #fit(task: FitTask, deadline: AbortSignal, signal: AbortSignal): Promise<void> {
    const { context, updates } = this.#options;
    const startedMs = context.clock.monotonic();
    const engine = await this.#options.engine();
    const material = await this.#material(task, deadline, true);
    if (material.own.training.labels.length === 0)
      throw new TwinwatchError(
        'AGENT_NOT_READY',
        'no row may be learned from yet; import history, or wait for the quarantine to end',
      );
    const local = await fitTask(engine, task, material, deadline);
    const { residual, ...fields } = local;
    const { lineage, round } = task;
    const feedback = { lineageHash: lineage.hash, round, before: material.owed, after: residual };
    const trainingMs = context.clock.monotonic() - startedMs;
    const update: Update = {
      kind: 'update',
      round: task.round,
      attempt: task.attempt,
      baseHash: task.parameters.hash,
      codec: task.codec,
      layerMask: task.layerMask,
      trainingMs,
      scores: null,
      ...(material.own.window === undefined ? {} : { window: material.own.window }),
      ...fields,
    };
    context.log.info(
      { round: task.round, rows: local.rows, loss: local.loss, trainingMs: Math.round(trainingMs) },
      'fitted',
    );
    updates.put(update, feedback, task.deadlineMs - trainingMs, signal);
  }

  async #evaluate(task: EvaluateTask, deadline: AbortSignal, signal: AbortSignal): Promise<void> {
    const { context, updates } = this.#options;
    const startedMs = context.clock.monotonic();
    const engine = await this.#options.engine();
    const material = await this.#material(task, deadline, false);
    const scores = await evaluate(engine, material);
    const update: Update = {
      kind: 'update',
      round: task.round,
      attempt: task.attempt,
      baseHash: task.parameters.hash,
      codec: 'f32',
      layerMask: null,
      delta: new Uint8Array(0),
      rows: 0,
      loss: 0,
      trainingMs: context.clock.monotonic() - startedMs,
      scores,
    };
    updates.put(update, null, task.deadlineMs, signal);
  }

  async #material(task: FitTask | EvaluateTask, signal: AbortSignal, withExchange: boolean): Promise<FitMaterial> {
    const { blobs, updates, onLineage } = this.#options;
    const lineage = await this.#lineageOf(task, signal);
    this.#requireSchema(lineage.schema);
    onLineage(task.lineage.hash);
    const lesson = task.kind === 'fit' ? task.distillation : undefined;
    const [parameters, exchange, teacher, owed, own] = await Promise.all([
      blobs.get(task.parameters, false, signal),
      withExchange && lineage.exchange !== null ? blobs.get(lineage.exchange, true, signal) : null,
      lesson === undefined ? null : blobs.get(lesson.teacher, true, signal),
      updates.owed(task.lineage.hash, task.round, signal),
      this.#ownRows(lineage),
    ]);
    return { lineage, parameters, exchange, teacher, owed, own };
  }

  /** The same for many rounds. */
  async #lineageOf({ lineage: { hash, bytes } }: FitTask | EvaluateTask, signal: AbortSignal): Promise<Lineage> {
    if (this.#lineage?.hash !== hash)
      this.#lineage = { hash, lineage: decodeLineage(await this.#options.blobs.get({ hash, bytes }, true, signal)) };
    return this.#lineage.lineage;
  }

  /** Rounds may come faster than rows: read, and made features of, once for each change. */
  async #ownRows({ schema, schemaHash: hash }: Lineage): Promise<OwnRows> {
    const { store } = this.#options.context;
    const { revision } = store;
    if (this.#own?.hash === hash && this.#own.revision === revision) return this.#own.rows;
    const rows = await ownRows(store, schema, this.#options.limits);
    const values = rows.training.features.length + rows.holdout.length;
    this.#own = values <= KEPT_VALUES ? { hash, revision, rows } : null;
    return rows;
  }

  #requireSchema(schema: FeatureSchema): void {
    const fault = intervalFault(schema.intervalMs, this.#options.intervalMs);
    if (fault !== this.#intervalFault) {
      this.#intervalFault = fault;
      this.#options.onIntervalFault(fault);
    }
    if (fault !== null) throw new TwinwatchError('AGENT_NOT_READY', fault);
    const known = new Set(this.#options.siteTags());
    const missing = schema.tags.filter((tag) => !known.has(tag.name)).map((tag) => tag.name);
    if (missing.length > 0)
      throw new TwinwatchError(
        'AGENT_NOT_READY',
        `the federation looks at tags that this site does not have: ${missing.join(', ')}; add them to the device templates`,
      );
  }
}

/** Changes and rolling windows count rows: of another interval they span another time than the detector's. */
function intervalFault(federationMs: number, siteMs: number): string | null {
  if (Math.abs(siteMs - federationMs) <= INTERVAL_TOLERANCE * federationMs) return null;
  const [wanted, own] = [federationMs, siteMs].map(durationText);
  return (
    `the federation's rows are ${wanted} apart, those of this site ${own}: it can neither learn nor judge as the others do; ` +
    `write interval: ${wanted} into this agent's configuration and start it again, or give the server a plant whose interval is ${own}`
  );
}

function sameTask(a: Task, b: Task): boolean {
  if (a.kind === 'calibrate' || b.kind === 'calibrate')
    return (
      a.kind === 'calibrate' &&
      b.kind === 'calibrate' &&
      a.schemaHash === b.schemaHash &&
      (a.profile === undefined) === (b.profile === undefined)
    );
  return a.kind === b.kind && a.round === b.round && a.attempt === b.attempt && a.parameters.hash === b.parameters.hash;
}
