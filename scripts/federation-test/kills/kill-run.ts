import { createRandom } from '@twinwatch/core/learning/random';
import type { TestFederation } from './federation.js';
import { FEDERATION, STRANGER } from './federation-files.js';
import type { Death, JournalStep, StepMessage } from './recorded-journal.js';
import { startStranger } from './stranger.js';
import type { Verified, Verifier } from './verifier.js';

/** Kills, one after the other, each followed by a restart at once and by a look at everything that has to be true. */

export interface KillReport {
  readonly kills: number;
  /** How often each was killed: server at a step, or anybody at any time. */
  readonly victims: ReadonlyMap<string, number>;
  /** How many of them fell into a model's trial. */
  readonly inTrial: number;
  /** By what was killed. */
  readonly recoveries: ReadonlyMap<string, readonly Recovery[]>;
}

/** All from the start of the killed process. */
interface Recovery {
  /** Until it says that it is ready: Node starts, code is loaded, files are opened. Null where a round went on before. */
  readonly readyMs: number | null;
  /** Until the next step of a round, after a kill at any time one that comes of an agent's answer. */
  readonly stepMs: number;
  /** Until the next committed round; null where the server was killed again. */
  readonly roundMs: number | null;
}

/** What is not the machine's time to start a process, of those recoveries that waited for one. */
export function afterReadyMs(recoveries: readonly Recovery[]): number[] {
  return recoveries.flatMap(({ readyMs, stepMs }) => (readyMs === null ? [] : Math.max(0, stepMs - readyMs)));
}

/** Before there is a lineage; in the order in which a federation comes to them. */
const FIRST_STEPS: readonly JournalStep[] = ['presence', 'calibration', 'freezing', 'lineage-frozen'];
/** The first release is due whatever the parameters are worth; later ones only where they are the best so far. */
const RELEASE_STEPS: readonly JournalStep[] = ['score', 'released', 'trial-begun', 'trial-over'];
/** What does not happen by itself, see KillRun.#provoke. */
const PROVOKED_STEPS: readonly JournalStep[] = ['refused', 'attempt-failed'];
const ROUND_STEPS: readonly JournalStep[] = [
  ...(['start', 'presence', 'update', 'last-update', 'aggregated', 'committed', 'twin-fitted'] as const),
];
/** A step that is not of a round that goes on. */
const IDLE: readonly JournalStep[] = ['start', 'presence', 'refused', 'attempt-failed', 'trial-begun', 'trial-over'];
/** Of a round whose agents do not answer. */
const SHORT_DEADLINE = { deadline: '1s' };
/** Agents and server have heard each other. */
const ANSWERS: readonly JournalStep[] = ['update', 'last-update', 'score', 'calibration'];
const LONGEST_LIFE_MS = 900;

/** Every step once before and once after its transaction is on the disk. */
export function everyDeath(): Death[] {
  return [...FIRST_STEPS, ...RELEASE_STEPS, ...ROUND_STEPS, ...PROVOKED_STEPS].flatMap((step) => both(step));
}

/** Steps further on in a server's life. */
export function laterDeaths(count: number, seed: string): Death[] {
  const random = createRandom(seed);
  // A life has one start only.
  const steps = ROUND_STEPS.filter((step) => step !== 'start');
  return Array.from({ length: count }, () => ({
    step: steps[random.integer(steps.length)]!,
    occurrence: 1 + random.integer(4),
    when: random.integer(2) === 0 ? ('before' as const) : ('after' as const),
  }));
}

function both(step: JournalStep): Death[] {
  return [
    { step, occurrence: 1, when: 'before' },
    { step, occurrence: 1, when: 'after' },
  ];
}

const goesOn = ({ step }: Pick<StepMessage, 'step'>) => !IDLE.includes(step);

export class KillRun {
  readonly #federation: TestFederation;
  readonly #verifier: Verifier;
  readonly #victims = new Map<string, number>();
  readonly #recoveries = new Map<string, Recovery[]>();
  #inTrial = 0;

  constructor(federation: TestFederation, verifier: Verifier) {
    this.#federation = federation;
    this.#verifier = verifier;
  }

  get report(): KillReport {
    const kills = [...this.#victims.values()].reduce((sum, times) => sum + times, 0);
    return { kills, victims: this.#victims, inTrial: this.#inTrial, recoveries: this.#recoveries };
  }

  /** The server must not run; it runs on in the end. */
  async atSteps(deaths: readonly Death[]): Promise<void> {
    for (const death of deaths) {
      const name = `${death.when} ${death.step} ${death.occurrence}`;
      const rounds = death.step === 'attempt-failed' ? SHORT_DEADLINE : {};
      await this.#goesOn(() => this.#federation.startServer(death, rounds), name, goesOn({ step: death.step }));
      const calm = await this.#provoke(death.step);
      await this.#federation.killed('server', name);
      await calm();
      this.#count(`server ${death.when} ${death.step}`);
    }
    await this.#goesOn(() => this.#federation.startServer(), 'no death', true);
  }

  /** Everything must run. @param victims one of them each time. */
  async atRandom(count: number, victims: readonly string[], seed: string): Promise<void> {
    const random = createRandom(seed);
    for (let i = 0; i < count; i++) {
      const victim = victims[random.integer(victims.length)]!;
      await new Promise((resolve) => setTimeout(resolve, random.integer(LONGEST_LIFE_MS)));
      await this.#federation.kill(victim);
      const killedAfter = this.#federation.newest.committed;
      const startedMs = performance.now();
      const since = <T>(came: Promise<T>) => came.then(() => performance.now() - startedMs);
      const committed = since(
        this.#federation.step(`a round after the kill of ${victim}`, (next) => next.committed > killedAfter),
      );
      // What a server without a broker still does by itself is no round that goes on.
      if (victim === 'broker') await this.#federation.startBroker();
      else if (victim === 'server') this.#federation.startServer();
      else this.#federation.startAgent(victim);
      const step = since(
        this.#federation.step(`an answer after the kill of ${victim}`, (next) => ANSWERS.includes(next.step)),
      );
      const [stepMs, roundMs] = await Promise.all([step, committed]);
      const kind = victim.replace(/-\d+$/, '');
      this.#recovered(kind, victim, startedMs, stepMs, roundMs);
      this.#count(victim);
    }
  }

  /** Resolves with what ends it. */
  async #provoke(step: JournalStep): Promise<() => Promise<void>> {
    const { url, files, agents } = this.#federation;
    if (step === 'refused') return startStranger(url, FEDERATION, STRANGER, files.stranger);
    if (step !== 'attempt-failed') return async () => undefined;
    const [, ...others] = agents;
    // Frozen, they count as there, and answer nothing.
    for (const agent of others) this.#federation.signal(agent, 'SIGSTOP');
    return async () => {
      for (const agent of others) this.#federation.signal(agent, 'SIGCONT');
    };
  }

  #count(victim: string): void {
    this.#victims.set(victim, (this.#victims.get(victim) ?? 0) + 1);
    this.#verifier.verify();
    if (this.#verifier.isTrying) this.#inTrial++;
  }

  #recovered(kind: string, victim: string, startedMs: number, stepMs: number, roundMs: number | null): void {
    const readyAtMs = this.#federation.readyAtMs(victim);
    const recovery: Recovery = { readyMs: readyAtMs === null ? null : readyAtMs - startedMs, stepMs, roundMs };
    this.#recoveries.set(kind, [...(this.#recoveries.get(kind) ?? []), recovery]);
  }

  /** @param isDeathAStep the step at which it dies is one of a round that goes on, too; else its death says nothing of how long that took. */
  async #goesOn(start: () => void, name: string, isDeathAStep: boolean): Promise<void> {
    const startedMs = performance.now();
    start();
    const step = this.#federation.step(`a step of a server that dies at ${name}`, goesOn);
    const died = this.#federation.killed('server', name);
    const isStep = await Promise.race([step.then(() => true), died.then(() => isDeathAStep)]);
    step.catch(() => undefined);
    died.catch(() => undefined);
    if (isStep) this.#recovered('server at a step', 'server', startedMs, performance.now() - startedMs, null);
  }
}

/** What came of it, for a person. */
export function killLines({ kills, victims, inTrial, recoveries }: KillReport, verified: Verified): string[] {
  const { rounds, updates, receipts, detectors, trials, replays, largestDifference } = verified;
  return [
    `${kills} kills: ${[...victims].map(([victim, times]) => `${victim} ${times}`).join(', ')}; ${inTrial} during a model's trial`,
    `${rounds} rounds of ${updates} updates; ${receipts} receipts and ${detectors} detectors in use by the agents' logs; parameters at most ${largestDifference.toExponential(1)} off the mean`,
    `${trials} trials of models, each release once in the registry; ${replays} messages that had been taken before were refused`,
    ...[...recoveries].flatMap(([kind, of]) => [
      `${kind} killed: ready ${spread(of.flatMap(({ readyMs }) => readyMs ?? []))} after its start`,
      `  from ready to the next step of a round: ${spread(afterReadyMs(of))}`,
      `  from its start to the next step: ${spread(of.map(({ stepMs }) => stepMs))}; to the next round: ${spread(of.flatMap(({ roundMs }) => roundMs ?? []))}`,
    ]),
  ];
}

function spread(values: readonly number[]): string {
  if (values.length === 0) return 'none measured';
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0);
  return `p50 ${at(0.5)}, p95 ${at(0.95)}, largest ${at(1)} ms of ${sorted.length}`;
}
