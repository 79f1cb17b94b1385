import { createRandom } from '@twinwatch/core/learning/random';
import { isReady, isScoreAwaited, pendingOf } from './admission.js';
import { planOf, teach, twinFitOf } from './round-plan.js';
import type { CurrentRound, Effect } from './round-state.js';
import { patch, type Setting, type Step } from './step.js';

/** How a round and a release go forward: who is asked, and when the waiting is over. */

export function nextRound(before: Step, at: Setting): Step {
  if (before.state.committed >= at.config.count) return patch(before, { current: null });
  const waiting: CurrentRound = {
    round: before.state.committed + 1,
    attempt: 0,
    step: 'waiting',
    pausing: false,
    baseHash: null,
    before: null,
    asked: [],
    accepted: [],
    rejected: [],
    refused: [],
    leftOut: [],
    remarks: [],
    bytesUp: 0,
    bytesDown: 0,
    traffic: {},
    startedAtMs: at.nowMs,
  };
  return tryToStart(patch(before, { current: waiting }), waiting, at);
}

/** Starts an attempt if enough agents are there; those whose update was already accepted count, and are not asked again. */
export function tryToStart(before: Step, waiting: CurrentRound, at: Setting): Step {
  const { config } = at;
  const accepted = waiting.accepted.map(({ agent }) => agent);
  const free = Object.keys(before.state.agents)
    .filter((agent) => isReady(before.state, agent, config) && !accepted.includes(agent))
    .sort();
  if (accepted.length + free.length < config.quorum) return before;
  const wanted = Math.max(config.quorum, Math.ceil(config.fraction * (accepted.length + free.length)));
  const attempt = waiting.attempt + 1;
  const random = createRandom(`${config.seed}:clients:${waiting.round}:${attempt}`);
  if (config.fraction < 1) random.shuffle(free);
  const asked = [...accepted, ...free.slice(0, Math.max(0, wanted - accepted.length))];
  const { globalHash, twinHash, optimizer, teacher } = before.state;
  const anchor = waiting.before ?? { globalHash, twinHash, optimizer, teacher };
  const again = { attempt, asked, before: anchor, refused: [], pausing: false, startedAtMs: at.nowMs };
  const started: CurrentRound = { ...waiting, ...again };
  const twinFit = twinFitOf(before.state, planOf(waiting, config));
  if (twinFit === null || waiting.baseHash !== null) return ask(before, started, at);
  return patch(before, { current: { ...started, step: 'twin-fit' } }, twinFit);
}

/** Sends the round's tasks, once what goes down is known. */
export function ask(before: Step, started: CurrentRound, at: Setting): Step {
  const { config } = at;
  const plan = planOf(started, config);
  const baseHash = plan.send === 'twin' ? before.state.twinHash : before.state.globalHash;
  const collecting: CurrentRound = { ...started, step: 'collecting', baseHash: started.baseHash ?? baseHash };
  const after = patch(before, { current: collecting });
  const pending = pendingOf(after.state, config);
  const sent = sendFit(after, collecting, pending, at.config.parameterBytes);
  return patch(teach(sent, pending, plan), {}, armDeadline(collecting, config.deadline));
}

export function sendFit(before: Step, current: CurrentRound, agents: readonly string[], bytesEach = 0): Step {
  const counted = { ...current, bytesDown: current.bytesDown + bytesEach * agents.length };
  return patch(before, { current: counted }, { type: 'send-fit', agents });
}

/** Whether what just changed ends the wait of the round, or of the release, that is going on. */
export function reconsider(before: Step, at: Setting): Step {
  const { current, release } = before.state;
  if (current?.step === 'waiting' && !current.pausing) return tryToStart(before, current, at);
  if (current?.step === 'collecting') {
    const pending = pendingOf(before.state, at.config).length;
    if (current.accepted.length + pending < at.config.quorum) return askOthers(before, current, pending, at);
    if (pending > 0) return before;
    return patch(before, { current: { ...current, step: 'aggregating' } }, { type: 'aggregate' });
  }
  if (release?.step === 'evaluating') {
    return release.asked.some((agent) => isScoreAwaited(before.state, agent, at.config))
      ? before
      : startRelease(before);
  }
  return before;
}

/** Those who were asked cannot make up a quorum any more: as many others as are missing, where there are any, or else whoever comes until the deadline. */
function askOthers(before: Step, current: CurrentRound, pending: number, at: Setting): Step {
  const { config } = at;
  const others = Object.keys(before.state.agents)
    .filter((agent) => isReady(before.state, agent, config) && !current.asked.includes(agent))
    .sort()
    .slice(0, config.quorum - current.accepted.length - pending);
  if (others.length === 0) return before;
  const joined = { ...current, asked: [...current.asked, ...others] };
  const sent = sendFit(patch(before, { current: joined }), joined, others, config.parameterBytes);
  return teach(sent, others, planOf(joined, config));
}

export function startRelease(before: Step): Step {
  return patch(before, { release: { ...before.state.release!, step: 'releasing' } }, { type: 'release' });
}

export function armDeadline(of: { readonly round: number; readonly attempt: number }, ms: number): Effect {
  return { type: 'arm-deadline', round: of.round, attempt: of.attempt, ms };
}
