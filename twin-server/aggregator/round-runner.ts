import { TwinwatchError } from '@twinwatch/core/errors';
import type { AnsweredTask } from '@twinwatch/core/wire/envelope';
import type { Calibration, Hello, Update } from '@twinwatch/core/wire/messages';
import { chosenCodec, wantedCodec } from './codec-choice.js';
import { EffectPerformer, type EffectPerformerOptions } from './effect-performer.js';
import type { JournalledRejection } from './journal.js';
import { checkCalibration } from './lineage.js';
import { neededBlobs } from './retention.js';
import { admission } from './rounds/admission.js';
import { normBound, rowsBound } from './rounds/defence.js';
import { step } from './rounds/round-machine.js';
import {
  type AgentState,
  type FederationEvent,
  type FederationState,
  INITIAL_STATE,
  type MachineConfig,
  type UpdateFacts,
} from './rounds/round-state.js';
import { withTraffic } from './rounds/round-traffic.js';
import { closedRoundView } from './rounds/round-view.js';
import type { Step } from './rounds/step.js';
import { type CheckedUpdate, checkScores, checkUpdate } from './update-check.js';

/** Characters of what is said of a malformed update: parts of it come from its sender. */
const MAXIMUM_DETAIL = 500;

export interface RoundRunnerOptions extends EffectPerformerOptions {
  /** Called after each step is journalled, before its effects. */
  readonly onStep: (step: Step) => void;
  /** The journal cannot be written: nothing more can be done here, a restart goes on where it was. */
  readonly onFatal: (error: unknown) => void;
}

/** As it came over the wire. */
export interface ArrivedUpdate {
  readonly agent: string;
  readonly update: Update;
  /** As received. */
  readonly bytes: number;
}

interface Occurrence {
  readonly event: FederationEvent;
  /** What is written together with it. */
  readonly write?: (() => void) | undefined;
}

interface Duplicate extends Pick<Update, 'round' | 'attempt'> {
  readonly agent: string;
  readonly verdict: 'duplicate';
  readonly detail: string;
}

/** What agents say, as events of the round machine. What comes together is one transaction; only then does anything follow from it. */
export class RoundRunner {
  #state: FederationState;
  readonly #options: RoundRunnerOptions;
  readonly #machine: MachineConfig;
  readonly #performer: EffectPerformer;
  #stopped = false;

  constructor(options: RoundRunnerOptions) {
    const { journal, run, plan, work } = options;
    this.#options = options;
    const { parameterCount, layerCount } = work;
    this.#machine = { ...plan.rounds, seed: plan.seed, layerCount, parameterBytes: parameterCount * 4 };
    this.#state = journal.loadState(run) ?? INITIAL_STATE;
    this.#performer = new EffectPerformer({ ...options, proceed: (event, write) => this.#proceed(event, write) });
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
    this.#stopped = true;
    await this.#performer.stop();
  }

  onStatus(agent: string, status: { readonly online: boolean; readonly connectionId: string }): void {
    this.#dispatch({ type: 'status', agent, online: status.online, connectionId: status.connectionId });
  }

  onHello(agent: string, hello: Hello): void {
    const { plan } = this.#options;
    const has = new Set(hello.tags);
    const absent = plan.schema.tags.filter(({ name }) => !has.has(name)).map(({ name }) => name);
    const codec = wantedCodec(plan.rounds, agent);
    const problems = [
      ...(absent.length > 0 ? [`lacks the tags ${absent.slice(0, 10).join(', ')}`] : []),
      ...(hello.codecs.includes(chosenCodec(codec, hello.codecs))
        ? []
        : [`can encode updates neither as ${codec} nor as f32`]),
    ];
    if (problems.length > 0) this.#options.log.warn({ agent, absent }, `agent ${agent} ${problems.join(' and ')}`);
    const detail = problems.join(' and ');
    const { eligibleRows, codecs } = hello;
    this.#dispatch({ type: 'hello', agent, compatible: detail === '', detail, eligibleRows, codecs });
  }

  /** An agent that is here cannot take part, whatever it has. Told again, it changes nothing. @param detail why, and what to do. */
  onUnfit(agent: string, detail: string): void {
    const known = this.#state.agents[agent];
    if (known?.online && !known.compatible && known.detail === detail) return;
    this.#options.log.warn({ agent }, `agent ${agent} cannot take part: ${detail}`);
    const told = { eligibleRows: known?.eligibleRows ?? 0, codecs: known?.codecs ?? [] };
    this.#dispatch({ type: 'hello', agent, compatible: false, detail, ...told });
  }

  /** An agent has taken a person's decision about its rows. */
  onLabels(): void {
    this.#dispatch({ type: 'labels-changed' });
  }

  /**
   * An operator trusts an agent again; nothing happens where it is not in quarantine.
   * @param by who decided. @throws TwinwatchError API_UNKNOWN_AGENT
   */
  liftQuarantine(agent: string, by: string): void {
    if (this.#state.agents[agent] === undefined)
      throw new TwinwatchError('API_UNKNOWN_AGENT', `there is no agent '${agent}' in this federation; check its name`);
    if (!isQuarantined(this.#state, agent)) return;
    this.#options.log.info({ agent, by }, `the quarantine of agent ${agent} is lifted by ${by}`);
    const lifted = { agent, round: null, attempt: null, verdict: 'quarantine-lifted', detail: `by ${by}` };
    this.#dispatch({ type: 'quarantine-lifted', agent }, () => this.#putRejection(lifted));
  }

  /** @throws TwinwatchError LINEAGE_MISMATCH */
  onCalibration(agent: string, calibration: Calibration): void {
    const { work, journal, run } = this.#options;
    checkCalibration(calibration, work.schemaHash, work.architecture.inputs);
    if (isQuarantined(this.#state, agent)) return;
    this.#dispatch({ type: 'calibration', agent }, () => journal.putCalibration(run, agent, calibration.moments));
  }

  /** Journals and answers updates, in order and in one transaction; every update gets a receipt, whatever is wrong with it. */
  onUpdates(updates: readonly ArrivedUpdate[]): void {
    this.#dispatchAll(updates.map((arrived) => () => this.#judge(arrived)));
  }

  #judge({ agent, update, bytes }: ArrivedUpdate): Occurrence | Duplicate {
    const { journal, run } = this.#options;
    const { round, attempt, baseHash, rows } = update;
    const kind = update.delta.length === 0 ? 'evaluate' : 'fit';
    const facts: UpdateFacts = { agent, round, attempt, kind, baseHash, rows, bytes };
    // A receipt that was lost: the machine forgets closed rounds, the journal does not.
    if (journal.hasUpdate(run, round, agent, kind)) {
      const duplicate = { agent, round, attempt, verdict: 'duplicate', detail: 'already counted' } as const;
      this.#putRejection(duplicate);
      return duplicate;
    }
    const refusal = admission(this.#state, facts);
    const { verdict, detail, norm } =
      refusal === null ? this.#checkContent(agent, kind, update) : { ...refusal, norm: null };
    return {
      event: { type: 'update', update: facts, verdict, detail, norm },
      write: () => {
        if (verdict === 'accepted') journal.putUpdate(run, agent, kind, update);
        else this.#putRejection({ agent, round, attempt, verdict, detail });
      },
    };
  }

  /** Something that came in place of an update and is none. @param task what it says it answers, null where that cannot be read. */
  onMalformedUpdate(agent: string, task: AnsweredTask | null, reason: string): void {
    const detail = reason.slice(0, MAXIMUM_DETAIL);
    this.#options.log.warn({ agent, ...task }, `agent ${agent} sent an update that cannot be read: ${detail}`);
    this.#dispatch({ type: 'malformed-update', agent, task, detail }, () => {
      this.#putRejection({ agent, ...(task ?? { round: null, attempt: null }), verdict: 'malformed', detail });
    });
  }

  #putRejection(rejection: Omit<JournalledRejection, 'atMs'>): void {
    const { journal, run, now } = this.#options;
    journal.putRejection(run, { ...rejection, atMs: now() });
  }

  #checkContent(agent: string, kind: 'fit' | 'evaluate', update: Update): CheckedUpdate {
    const { plan, work } = this.#options;
    const { rounds } = plan;
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
      maximumNorm: rounds.maximumUpdateNorm,
      maximumRows: rounds.maximumUpdateRows,
      normBound: normBound(this.#state.acceptedNorms, rounds),
      rowsBound: rowsBound(this.#state.agents[agent]?.eligibleRows ?? 0, rounds),
      layerMask: work.planOf(update.round).layerMask,
    });
  }

  #dispatch(event: FederationEvent, write?: () => void): void {
    this.#dispatchAll([() => ({ event, write })]);
  }

  /** One step for each, all in one transaction, in which they are also judged: the second of two copies of an update finds the first. */
  #dispatchAll(occurrences: readonly (() => Occurrence | Duplicate)[]): void {
    if (this.#stopped) return;
    const { agents, journal, run, now } = this.#options;
    const before = this.#state;
    const follows: (() => void)[] = [];
    try {
      journal.transaction(() => {
        for (const occur of occurrences) {
          const occurrence = occur();
          if ('verdict' in occurrence) {
            follows.push(() => this.#performer.sendReceipt(occurrence));
            continue;
          }
          const { event, write } = occurrence;
          const from = this.#state;
          const to = step(withTraffic(from, agents.takeTraffic()), event, this.#machine, now());
          write?.();
          this.#recordClosed(to);
          this.#state = to.state;
          follows.push(() => this.#follow(event, from, to));
        }
        if (this.#state !== before) journal.saveState(run, this.#state);
      });
    } catch (error) {
      this.#state = before;
      throw error;
    }
    for (const follow of follows) follow();
  }

  /** What a step that is on the disk leads to. */
  #follow(event: FederationEvent, from: FederationState, to: Step): void {
    const { log, onStep, onFatal } = this.#options;
    try {
      this.#tell(from, to);
      onStep(to);
      if (event.type === 'released') this.publishManifest();
    } catch (error) {
      log.error({ event: event.type, error: String(error) }, 'a step that is journalled could not be told');
    }
    // What is not done now is done by nobody, until a restart finds what the journal says.
    try {
      for (const effect of to.effects) this.#performer.perform(effect, to.state);
    } catch (error) {
      onFatal(error);
    }
  }

  #recordClosed({ state, closed }: Step): void {
    const { journal, run } = this.#options;
    for (const ended of closed) {
      const { round, committed, detail } = ended;
      journal.putRound(run, round.attempt, closedRoundView(ended, this.#machine.method), detail);
      if (committed) journal.dropPayloads(run, round.round);
      else if (state.current?.accepted.length === 0) journal.discardUpdates(run, round.round);
    }
    if (closed.some(({ committed }) => committed)) journal.retainBlobs(neededBlobs(journal, state));
  }

  #tell(before: FederationState, { state, closed }: Step): void {
    const { log } = this.#options;
    for (const [agent, { strikes }] of newlyQuarantined(before, state))
      log.warn(
        { agent, strikes },
        `agent ${agent} is in quarantine: ${strikes.length} of its updates were refused, the last one as ${strikes.at(-1)?.verdict}; look into it, then \`twinwatch quarantine lift ${agent}\``,
      );
    for (const { round, committed, detail, validation } of closed) {
      const context = { round: round.round, attempt: round.attempt, clients: round.accepted.length, validation };
      for (const remark of round.remarks) log.warn(context, `round ${round.round}: ${remark}`);
      if (committed) log.info(context, `round ${round.round} committed`);
      else log.warn(context, `round ${round.round}, attempt ${round.attempt} failed: ${detail}`);
    }
  }

  /** For events of the server's own, which nobody would send again. */
  #proceed(event: FederationEvent, write?: () => void): void {
    try {
      this.#dispatch(event, write);
    } catch (error) {
      this.#options.onFatal(error);
    }
  }
}

function isQuarantined({ agents }: FederationState, agent: string): boolean {
  return (agents[agent]?.quarantinedAtMs ?? null) !== null;
}

function newlyQuarantined(before: FederationState, after: FederationState): [string, AgentState][] {
  if (before.agents === after.agents) return [];
  return Object.entries(after.agents).filter(([id]) => isQuarantined(after, id) && !isQuarantined(before, id));
}
