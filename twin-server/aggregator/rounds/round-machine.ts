import { createRandom } from '@twinwatch/core/learning/random';
import type { AnsweredTask } from '@twinwatch/core/wire/envelope';
import { supersedes } from '@twinwatch/core/wire/presence';
import { admission, hasAnswered, isReady, isScoreAwaited, pendingOf } from './admission.js';
import { forgiven, isBoundOutdated, NO_NORMS, struck, withNorm } from './defence.js';
import { planOf, teach, twinFitOf } from './round-plan.js';
import {
  type CurrentRound,
  type Effect,
  type FederationEvent,
  type FederationState,
  type MachineConfig,
  type Rejection,
  UNSUSPECTED,
  type Validation,
} from './round-state.js';
import { closeRound, patch, type Setting, type Step, withAgent } from './step.js';

/**
 * Everything that is decided about a federation's course, as one pure function: (state, event) → (state, effects).
 * The runner journals the state before it performs the effects; after a crash it loads the state and performs `resumed`'s
 * effects instead, which repeat whatever was going on. So every effect may happen more than once, and none may be lost.
 */

/** Of a round, in the state; enough to look at, and little to write with every step. */
const KEPT_REJECTIONS = 32;

export function step(state: FederationState, event: FederationEvent, config: MachineConfig, nowMs: number): Step {
  const at: Setting = { config, nowMs };
  const same: Step = { state, effects: [], closed: [] };
  const { current, release } = state;
  switch (event.type) {
    case 'resumed':
      return resume(same, at);
    case 'status':
      return onStatus(same, event, at);
    case 'hello':
      return onHello(same, event, at);
    case 'calibration': {
      const known = state.agents[event.agent];
      if (known?.compatible !== true || known.quarantinedAtMs !== null) return same;
      return checkCalibrations(withAgent(same, event.agent, { calibrated: true }), false, at);
    }
    case 'calibration-deadline':
      return checkCalibrations(same, true, at);
    case 'lineage-frozen': {
      const { lineageHash, globalHash, twinHash } = event;
      return nextRound(patch(same, { lineageHash, globalHash, twinHash, freezing: false }), at);
    }
    case 'twin-fitted': {
      if (current?.step !== 'twin-fit') return same;
      const { twinHash, teacher } = event;
      return ask(patch(same, { twinHash, teacher: teacher ?? state.teacher }), current, at);
    }
    case 'update':
      return onUpdate(same, event, at);
    case 'malformed-update':
      return onMalformedUpdate(same, event, at);
    case 'deadline':
      return onDeadline(same, event, at);
    case 'aggregated': {
      if (current?.step !== 'aggregating') return same;
      const { globalHash, twinHash, optimizer, leftOut, remarks } = event;
      const next = { ...current, leftOut, remarks, step: 'validating' } as const;
      return patch(same, { globalHash, twinHash, optimizer, current: next }, { type: 'validate' });
    }
    case 'validated':
      return current?.step === 'validating' ? commit(same, current, event.validation, at) : same;
    case 'released': {
      if (release?.step !== 'releasing') return same;
      const { parametersHash, modelVersion } = event;
      const released = { parametersHash, modelVersion };
      return nextRound(patch(same, { released, release: null, releaseFailure: null }), at);
    }
    case 'labels-changed':
      // The best round so far did not know of it, and the twin's validation rows never will: it must not stay the best for that.
      return state.best === null && state.acceptedNorms === NO_NORMS
        ? same
        : patch(same, { best: null, acceptedNorms: NO_NORMS });
    case 'quarantine-lifted':
      if (state.agents[event.agent] === undefined) return same;
      return reconsider(withAgent(same, event.agent, UNSUSPECTED), at);
    case 'step-failed':
      return onStepFailed(same, event.detail, at);
  }
}

function onStatus(before: Step, event: Extract<FederationEvent, { type: 'status' }>, at: Setting): Step {
  const known = before.state.agents[event.agent];
  const presence = known && { online: known.online, connectionId: known.connectionId ?? event.connectionId };
  if (!supersedes(presence ?? null, event)) return before;
  const after = withAgent(before, event.agent, { online: event.online, connectionId: event.connectionId });
  return after.state.lineageHash === null ? checkCalibrations(after, false, at) : reconsider(after, at);
}

function onHello(before: Step, event: Extract<FederationEvent, { type: 'hello' }>, at: Setting): Step {
  const { compatible, detail, eligibleRows, codecs } = event;
  const after = withAgent(before, event.agent, { online: true, compatible, detail, eligibleRows, codecs });
  const { lineageHash, agents, current } = after.state;
  if (!compatible) return reconsider(after, at);
  if (lineageHash === null) {
    if (agents[event.agent]?.calibrated === true) return checkCalibrations(after, false, at);
    return patch(after, {}, { type: 'send-calibrate', agent: event.agent });
  }
  // Whoever says hello has just connected: what it was asked may never have reached it.
  if (current?.step === 'collecting') {
    if (pendingOf(after.state).includes(event.agent)) return sendFit(after, current, [event.agent]);
    const reachable = current.accepted.length + pendingOf(after.state).length;
    const answered = hasAnswered(current, event.agent);
    if (reachable < at.config.quorum && !answered && isReady(after.state, event.agent)) {
      const joined = { ...current, asked: [...current.asked, event.agent] };
      return sendFit(patch(after, { current: joined }), joined, [event.agent]);
    }
  }
  if (isScoreAwaited(after.state, event.agent)) {
    return patch(after, {}, { type: 'send-evaluate', agents: [event.agent] });
  }
  return reconsider(after, at);
}

/** The lineage is frozen when a quorum has answered and nobody else is expected to: everybody online has, or time is up. */
function checkCalibrations(before: Step, timeIsUp: boolean, { config }: Setting): Step {
  const { agents, lineageHash, freezing } = before.state;
  if (lineageHash !== null || freezing) return before;
  const calibrated = Object.values(agents).filter((agent) => agent.calibrated).length;
  if (calibrated < config.quorum) return before;
  const waiting = Object.values(agents).some((agent) => agent.online && agent.compatible && !agent.calibrated);
  if (waiting && !timeIsUp) return patch(before, {}, { type: 'arm-calibration-deadline', ms: config.deadline });
  return patch(before, { freezing: true }, { type: 'freeze-lineage' });
}

function nextRound(before: Step, at: Setting): Step {
  if (before.state.committed >= at.config.count) return patch(before, { current: null });
  const waiting: CurrentRound = {
    round: before.state.committed + 1,
    attempt: 0,
    step: 'waiting',
    pausing: false,
    baseHash: null,
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
function tryToStart(before: Step, waiting: CurrentRound, at: Setting): Step {
  const { config } = at;
  const accepted = waiting.accepted.map(({ agent }) => agent);
  const free = Object.keys(before.state.agents)
    .filter((agent) => isReady(before.state, agent) && !accepted.includes(agent))
    .sort();
  if (accepted.length + free.length < config.quorum) return before;
  const wanted = Math.max(config.quorum, Math.ceil(config.fraction * (accepted.length + free.length)));
  const attempt = waiting.attempt + 1;
  const random = createRandom(`${config.seed}:clients:${waiting.round}:${attempt}`);
  if (config.fraction < 1) random.shuffle(free);
  const asked = [...accepted, ...free.slice(0, Math.max(0, wanted - accepted.length))];
  const started: CurrentRound = { ...waiting, attempt, asked, refused: [], pausing: false, startedAtMs: at.nowMs };
  const twinFit = twinFitOf(before.state, planOf(waiting, config));
  if (twinFit === null || waiting.baseHash !== null) return ask(before, started, at);
  return patch(before, { current: { ...started, step: 'twin-fit' } }, twinFit);
}

/** Sends the round's tasks, once what goes down is known. */
function ask(before: Step, started: CurrentRound, at: Setting): Step {
  const { config } = at;
  const plan = planOf(started, config);
  const baseHash = plan.send === 'twin' ? before.state.twinHash : before.state.globalHash;
  const collecting: CurrentRound = { ...started, step: 'collecting', baseHash: started.baseHash ?? baseHash };
  const after = patch(before, { current: collecting });
  const pending = pendingOf(after.state);
  const sent = sendFit(after, collecting, pending, at.config.parameterBytes);
  return patch(teach(sent, pending, plan), {}, armDeadline(collecting, config.deadline));
}

function sendFit(before: Step, current: CurrentRound, agents: readonly string[], bytesEach = 0): Step {
  const counted = { ...current, bytesDown: current.bytesDown + bytesEach * agents.length };
  return patch(before, { current: counted }, { type: 'send-fit', agents });
}

function onUpdate(before: Step, event: Extract<FederationEvent, { type: 'update' }>, at: Setting): Step {
  const { update } = event;
  const { verdict, detail } = admission(before.state, update) ?? event;
  const { agent, round, attempt } = update;
  const answered = patch(before, {}, { type: 'receipt', agent, round, attempt, verdict, detail });
  if (verdict === 'duplicate') return answered;
  if (verdict !== 'accepted') return refuse(answered, { agent, verdict, detail, task: update }, at);
  if (update.kind === 'evaluate') {
    const release = before.state.release!;
    return reconsider(patch(answered, { release: { ...release, answered: [...release.answered, agent] } }), at);
  }
  const current = before.state.current!;
  const accepted = [...current.accepted, { agent, rows: update.rows }];
  const counted = withAgent(answered, agent, { lastRound: round, strikes: forgiven(answered.state.agents[agent]!) });
  const { acceptedNorms } = before.state;
  const norms = event.norm === null ? acceptedNorms : withNorm(acceptedNorms, event.norm, at.config);
  const next = { ...current, accepted, bytesUp: current.bytesUp + update.bytes };
  return reconsider(patch(counted, { current: next, acceptedNorms: norms }), at);
}

function onMalformedUpdate(
  before: Step,
  event: Extract<FederationEvent, { type: 'malformed-update' }>,
  at: Setting,
): Step {
  const { agent, task, detail } = event;
  const verdict = 'malformed';
  const refused = refuse(before, { agent, verdict, detail, task }, at);
  return task === null ? refused : patch(refused, {}, { type: 'receipt', agent, ...task, verdict, detail });
}

interface Refused extends Omit<Rejection, 'attempt'> {
  readonly task: AnsweredTask | null;
}

/**
 * Whose answer to what is open now is refused has its receipt and will not send another: it is not waited for. An answer to an
 * earlier attempt says nothing of the one to this attempt, which may be on its way.
 */
function refuse(before: Step, { agent, verdict, detail, task }: Refused, at: Setting): Step {
  const known = before.state.agents[agent];
  if (known === undefined) return before;
  const counted = withAgent(before, agent, { rejectedUpdates: known.rejectedUpdates + 1 });
  const { current, release } = counted.state;
  const open = current ?? release;
  if (open === null || (task !== null && task.round !== open.round)) return counted;
  const attempt = task?.attempt ?? open.attempt;
  const strike = { round: open.round, attempt, verdict, detail, atMs: at.nowMs };
  const after = withAgent(counted, agent, struck(known, strike, at.config));
  const answersThis = task?.attempt === open.attempt && open.asked.includes(agent);
  const refused = answersThis && !open.refused.includes(agent) ? [...open.refused, agent] : open.refused;
  if (current === null) return reconsider(patch(after, { release: { ...release!, refused } }), at);
  const rejected = [...current.rejected, { agent, attempt, verdict, detail }].slice(-KEPT_REJECTIONS);
  return reconsider(patch(after, { current: { ...current, rejected, refused } }), at);
}

/** Whether what just changed ends the wait of the round, or of the release, that is going on. */
function reconsider(before: Step, at: Setting): Step {
  const { current, release } = before.state;
  if (current?.step === 'waiting' && !current.pausing) return tryToStart(before, current, at);
  if (current?.step === 'collecting') {
    if (pendingOf(before.state).length > 0 || current.accepted.length < at.config.quorum) return before;
    return patch(before, { current: { ...current, step: 'aggregating' } }, { type: 'aggregate' });
  }
  if (release?.step === 'evaluating') {
    return release.asked.some((agent) => isScoreAwaited(before.state, agent)) ? before : startRelease(before);
  }
  return before;
}

function onDeadline(before: Step, event: Extract<FederationEvent, { type: 'deadline' }>, at: Setting): Step {
  const { current, release } = before.state;
  if (release?.step === 'evaluating' && release.round === event.round && release.attempt === event.attempt) {
    return startRelease(before);
  }
  if (current === null || current.round !== event.round || current.attempt !== event.attempt) return before;
  if (current.step === 'waiting') {
    const ready = { ...current, pausing: false };
    return tryToStart(patch(before, { current: ready }), ready, at);
  }
  if (current.step !== 'collecting') return before;
  if (current.accepted.length >= at.config.quorum) {
    return patch(before, { current: { ...current, step: 'aggregating' } }, { type: 'aggregate' });
  }
  const detail = `${current.accepted.length} of ${at.config.quorum} updates at the deadline`;
  const again: CurrentRound = { ...current, step: 'waiting' };
  const norms = isBoundOutdated(before.state) ? { acceptedNorms: NO_NORMS } : {};
  const failed = closeRound(
    patch(before, { current: again, ...norms }),
    current,
    { committed: false, detail, validation: null },
    at,
  );
  return tryToStart(failed, again, at);
}

/** A step of the server's own went wrong: recorded, and tried again when a deadline has passed, with fresh updates. */
function onStepFailed(before: Step, detail: string, at: Setting): Step {
  const { current, release, freezing } = before.state;
  if (freezing) return patch(before, { freezing: false }, { type: 'arm-calibration-deadline', ms: at.config.deadline });
  if (release !== null) return nextRound(patch(before, { release: null, releaseFailure: detail }), at);
  if (current === null) return before;
  const again: CurrentRound = { ...current, step: 'waiting', pausing: true, baseHash: null, accepted: [] };
  const failed = closeRound(
    patch(before, { current: again }),
    current,
    { committed: false, detail, validation: null },
    at,
  );
  return patch(failed, {}, armDeadline(again, at.config.deadline));
}

function commit(before: Step, current: CurrentRound, validation: Validation, at: Setting): Step {
  const { config } = at;
  const { state } = before;
  const candidate = { round: current.round, parametersHash: state.globalHash!, validation };
  const best = state.best !== null && state.best.validation.prAuc >= validation.prAuc ? state.best : candidate;
  const closed = closeRound(before, current, { committed: true, detail: '', validation }, at);
  const committed = patch(closed, { committed: current.round, current: null, best });
  const last = current.round >= config.count;
  const due = last || (config.releaseEvery > 0 && current.round % config.releaseEvery === 0);
  if (!due || best.parametersHash === state.released?.parametersHash) return nextRound(committed, at);
  const asked = Object.keys(state.agents).filter((agent) => isReady(state, agent));
  const release = {
    round: current.round,
    attempt: current.attempt + 1,
    step: 'evaluating',
    candidate: best,
    asked,
    answered: [],
    refused: [],
  } as const;
  const sent = patch(
    committed,
    { release },
    { type: 'send-evaluate', agents: asked },
    armDeadline(release, config.deadline),
  );
  return reconsider(sent, at);
}

function startRelease(before: Step): Step {
  return patch(before, { release: { ...before.state.release!, step: 'releasing' } }, { type: 'release' });
}

/** After a restart: whatever was going on is done again, with a fresh deadline, since nobody could reach the server meanwhile. */
function resume(before: Step, at: Setting): Step {
  const { current, release, lineageHash, freezing } = before.state;
  const { config } = at;
  if (lineageHash === null) {
    if (freezing) return patch(before, {}, { type: 'freeze-lineage' });
    return checkCalibrations(before, false, at);
  }
  if (release !== null) {
    if (release.step === 'releasing') return patch(before, {}, { type: 'release' });
    const agents = release.asked.filter((agent) => ![...release.answered, ...release.refused].includes(agent));
    return patch(before, {}, { type: 'send-evaluate', agents }, armDeadline(release, config.deadline));
  }
  if (current === null) return nextRound(before, at);
  switch (current.step) {
    case 'waiting':
      return current.pausing
        ? patch(before, {}, armDeadline(current, config.deadline))
        : tryToStart(before, current, at);
    case 'twin-fit': {
      const twinFit = twinFitOf(before.state, planOf(current, config));
      return twinFit === null ? ask(before, current, at) : patch(before, {}, twinFit);
    }
    case 'collecting':
      return patch(sendFit(before, current, pendingOf(before.state)), {}, armDeadline(current, config.deadline));
    case 'aggregating':
      return patch(before, {}, { type: 'aggregate' });
    case 'validating':
      return patch(before, {}, { type: 'validate' });
  }
}

function armDeadline(of: { readonly round: number; readonly attempt: number }, ms: number): Effect {
  return { type: 'arm-deadline', round: of.round, attempt: of.attempt, ms };
}
