import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Journal, UpdateKind } from '@twinwatch/twin-server/aggregator/journal';
import type { FederationState } from '@twinwatch/twin-server/aggregator/rounds/round-state';

/** What one transaction of the journal, or one write of the registry's, was about, as the harness calls it. */
export type JournalStep =
  | 'start'
  | 'presence'
  | 'refused'
  | 'calibration'
  | 'freezing'
  | 'lineage-frozen'
  | 'twin-fitted'
  | 'update'
  | 'last-update'
  | 'aggregated'
  | 'committed'
  | 'attempt-failed'
  | 'score'
  | 'released'
  | 'trial-begun'
  | 'trial-over';

/** Where a server is to be killed: at this step for the n-th time in its life, with the transaction not yet on the disk, or just after. */
export interface Death {
  readonly step: JournalStep;
  readonly occurrence: number;
  readonly when: 'before' | 'after';
}

/** A line of record.jsonl. What a transaction that was killed would have written is in it, too, and again when it is done over: the last line counts. */
export type RecordLine =
  | {
      readonly kind: 'update';
      readonly round: number;
      readonly agent: string;
      readonly of: UpdateKind;
      readonly attempt: number;
      readonly base: string;
      readonly codec: string;
      readonly rows: number;
      /** base64 */
      readonly delta: string;
    }
  | { readonly kind: 'committed'; readonly round: number; readonly global: string };

/** What the server tells the harness after each transaction. */
export interface StepMessage {
  readonly step: JournalStep;
  readonly committed: number;
  /** Whether it holds an update that was refused, besides others that were accepted or alone. */
  readonly refused: boolean;
}

/**
 * A server's journal that also keeps beside it what was put into it, payloads and parameters of every round included, so that somebody else can
 * compute what the rounds should have come to; and that dies where it is told to.
 */
export function recordedJournal(journal: Journal, folder: string, death: Death | null): Journal {
  const blobs = join(folder, 'blobs');
  mkdirSync(blobs, { recursive: true });
  const record = (line: RecordLine) => appendFileSync(join(folder, 'record.jsonl'), `${JSON.stringify(line)}\n`);
  let state: FederationState | null = null;
  let depth = 0;
  let put = new Set<string>();
  let next: FederationState | null = null;
  let occurrences = 0;
  // A server begins with what it finds.
  let isFirst = true;
  return {
    ...journal,
    loadState(run) {
      state = journal.loadState(run);
      return state;
    },
    saveState(run, saved) {
      next = saved;
      journal.saveState(run, saved);
    },
    putBlob(bytes) {
      const ref = journal.putBlob(bytes);
      writeFileSync(join(blobs, ref.hash), bytes);
      return ref;
    },
    putCalibration(...given) {
      put.add('calibration');
      journal.putCalibration(...given);
    },
    putUpdate(run, agent, kind, update) {
      put.add(kind);
      const { round, attempt, baseHash: base, codec, rows } = update;
      const delta = Buffer.from(update.delta).toString('base64');
      record({ kind: 'update', round, agent, of: kind, attempt, base, codec, rows, delta });
      journal.putUpdate(run, agent, kind, update);
    },
    putRejection(...given) {
      put.add('rejection');
      journal.putRejection(...given);
    },
    putModel(...given) {
      put.add('model');
      journal.putModel(...given);
    },
    putRegistry(json) {
      const [was, is] = [journal.registry(), json].map((text) => isOnTrial(text));
      const step = was === is ? null : is === true ? 'trial-begun' : 'trial-over';
      if (step === death?.step) occurrences++;
      const dies = step !== null && step === death?.step && occurrences === death.occurrence;
      if (dies && death?.when === 'before') process.kill(process.pid, 'SIGKILL');
      journal.putRegistry(json);
      if (dies) process.kill(process.pid, 'SIGKILL');
      if (step !== null)
        process.send?.({ step, committed: state?.committed ?? 0, refused: false } satisfies StepMessage);
    },
    transaction(work) {
      if (depth > 0) return journal.transaction(work);
      put = new Set();
      next = null;
      let step: JournalStep = 'start';
      let dies = false;
      depth++;
      try {
        const result = journal.transaction(() => {
          const done = work();
          step = isFirst ? 'start' : stepOf(state, next, put);
          isFirst = false;
          if (step === 'committed') record({ kind: 'committed', round: next!.committed, global: next!.globalHash! });
          if (step === death?.step) occurrences++;
          dies = step === death?.step && occurrences === death.occurrence;
          if (dies && death?.when === 'before') process.kill(process.pid, 'SIGKILL');
          return done;
        });
        if (dies) process.kill(process.pid, 'SIGKILL');
        state = next ?? state;
        const told: StepMessage = { step, committed: state?.committed ?? 0, refused: put.has('rejection') };
        process.send?.(told);
        return result;
      } finally {
        depth--;
      }
    },
  };
}

type Round = FederationState['current'];

function isAnotherAttempt(before: Round | undefined, after: Round): boolean {
  return before != null && after?.round === before.round && after.attempt > before.attempt;
}

function isOnTrial(registry: string | null): boolean {
  return registry !== null && (JSON.parse(registry) as { candidate: unknown }).candidate !== null;
}

function stepOf(before: FederationState | null, after: FederationState | null, put: ReadonlySet<string>): JournalStep {
  if (put.has('model')) return 'released';
  if (put.has('evaluate')) return 'score';
  if (put.has('rejection') && !put.has('fit')) return 'refused';
  if (after === null) return 'presence';
  if (after.committed > (before?.committed ?? 0)) return 'committed';
  if (put.has('fit')) return after.current?.step === 'aggregating' ? 'last-update' : 'update';
  if (after.freezing && before?.freezing !== true) return 'freezing';
  if (put.has('calibration')) return 'calibration';
  if (after.lineageHash !== (before?.lineageHash ?? null)) return 'lineage-frozen';
  const [was, is] = [before?.current?.step, after.current?.step];
  if (was === 'twin-fit' && is === 'collecting') return 'twin-fitted';
  if (was === 'aggregating' && is === 'validating') return 'aggregated';
  if (isAnotherAttempt(before?.current, after.current)) return 'attempt-failed';
  if (was !== undefined && was !== 'waiting' && is === 'waiting') return 'attempt-failed';
  return 'presence';
}
