import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Manifest } from '@twinwatch/core/wire/messages';
import { openTestFederation, type TestFederation } from './federation.js';
import type { TrialTimes } from './federation-files.js';
import { type KillReport, KillRun } from './kill-run.js';
import type { Death } from './recorded-journal.js';
import { agentManifest, type Verified, Verifier } from './verifier.js';

/** A federation from its first start, through every kill, to its last round and a release that all of it runs. */

export interface KillPlan {
  readonly deaths: readonly Death[];
  readonly randomKills: number;
  readonly seed: string;
  /** A brief one where absent. */
  readonly trial?: TrialTimes;
}

export interface KillOutcome {
  readonly report: KillReport;
  readonly verified: Verified;
  readonly released: Manifest | null;
  /** What each agent runs in the end. */
  readonly running: ReadonlyMap<string, Manifest | null>;
}

const AGENTS = 3;
const LAST_ROUNDS = 3;
const LOOK_MS = 200;
const LOOKS = 300;

/** Keeps its folder where something was wrong. @throws Error naming what. */
export async function killStory({ deaths, randomKills, seed, trial }: KillPlan): Promise<KillOutcome> {
  const folder = mkdtempSync(join(tmpdir(), 'twinwatch-kills-'));
  const federation = await openTestFederation(folder, AGENTS, {}, trial);
  const verifier = new Verifier(folder, federation.agents);
  const run = new KillRun(federation, verifier);
  let outcome: KillOutcome;
  try {
    await federation.startBroker();
    for (const agent of federation.agents) federation.startAgent(agent);
    await run.atSteps(deaths);
    await run.atRandom(randomKills, ['server', 'broker', ...federation.agents], seed);
    const running = await finish(federation, verifier);
    outcome = { report: run.report, verified: verifier.verified, released: verifier.newest, running };
  } catch (error) {
    throw new Error(`after ${run.report.kills} kills, in ${folder}: ${String(error)}`, { cause: error });
  } finally {
    await federation.stopAll();
  }
  rmSync(folder, { recursive: true });
  return outcome;
}

/** Some rounds more, and then every agent has to run what was released last. */
async function finish(federation: TestFederation, verifier: Verifier): Promise<Map<string, Manifest | null>> {
  await federation.stop('server');
  const count = (verifier.verify()?.committed ?? 0) + LAST_ROUNDS;
  federation.startServer(null, { count });
  const running = () => new Map(federation.agents.map((agent) => [agent, agentManifest(federation.folder, agent)]));
  for (let look = 0; look < LOOKS; look++) {
    const state = verifier.verify();
    const isOver = state?.committed === count && state.current === null && state.release === null && !verifier.isTrying;
    if (isOver && [...running().values()].every((one) => one?.model.hash === verifier.newest?.model.hash)) break;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return running();
}
