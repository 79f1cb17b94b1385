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
  /** From the start of the killed process to the next step of a round, of a server that was killed at a step. */
  readonly nextStepMs: number[];
  /** From there to the next committed round, of what was killed at any time. */
  readonly nextRoundMs: ReadonlyMap<string, number[]>;
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
  readonly #nextStepMs: number[] = [];
  readonly #nextRoundMs = new Map<string, number[]>();

  constructor(federation: TestFederation, verifier: Verifier) {
    this.#federation = federation;
    this.#verifier = verifier;
  }

  get report(): KillReport {
    const kills = [...this.#victims.values()].reduce((sum, times) => sum + times, 0);
    return { kills, victims: this.#victims, nextStepMs: this.#nextStepMs, nextRoundMs: this.#nextRoundMs };
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
      this.#verifier.verify();
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
      const committed = this.#federation.step(
        `a round after the kill of ${victim}`,
        (next) => next.committed > killedAfter,
      );
      if (victim === 'broker') await this.#federation.startBroker();
      else if (victim === 'server') this.#federation.startServer();
      else this.#federation.startAgent(victim);
      await committed;
      const kind = victim.replace(/-\d+$/, '');
      this.#nextRoundMs.set(kind, [...(this.#nextRoundMs.get(kind) ?? []), performance.now() - startedMs]);
      this.#count(victim);
      this.#verifier.verify();
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
  }

  /** @param isDeathAStep the step at which it dies is one of a round that goes on, too; else its death says nothing of how long that took. */
  async #goesOn(start: () => void, name: string, isDeathAStep: boolean): Promise<void> {
    const startedMs = performance.now();
    start();
    const step = this.#federation.step(`a step of a server that dies at ${name}`, goesOn);
    const isStep = await Promise.race([
      step.then(() => true),
      this.#federation.killed('server', name).then(() => isDeathAStep),
    ]);
    step.catch(() => undefined);
    if (isStep) this.#nextStepMs.push(performance.now() - startedMs);
  }
}

/** What came of it, for a person. */
export function killLines({ kills, victims, nextStepMs, nextRoundMs }: KillReport, verified: Verified): string[] {
  const { rounds, updates, receipts, detectors, trials, largestDifference } = verified;
  return [
    `${kills} kills: ${[...victims].map(([victim, times]) => `${victim} ${times}`).join(', ')}`,
    `${rounds} rounds of ${updates} updates; ${receipts} receipts and ${detectors} detectors in use by the agents' logs; ${trials} trials of models; parameters at most ${largestDifference.toExponential(1)} off the mean`,
    `server killed at a step, from its start to the next step of a round: ${spread(nextStepMs)}`,
    ...[...nextRoundMs].map(
      ([victim, ms]) => `${victim} killed at any time, from its start to the next round: ${spread(ms)}`,
    ),
  ];
}

function spread(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0);
  return `p50 ${at(0.5)}, p95 ${at(0.95)}, largest ${at(1)} ms of ${sorted.length}`;
}
