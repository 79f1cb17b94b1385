import { supersedes } from '@twinwatch/core/wire/presence';
import { isReady, isScoreAwaited, pendingOf } from './admission.js';
import { onMalformedUpdate, onUpdate } from './answers.js';
import { isBoundOutdated, NO_NORMS } from './defence.js';
import { armDeadline, ask, nextRound, reconsider, sendFit, startRelease, tryToStart } from './progress.js';
import { planOf, twinFitOf } from './round-plan.js';
import {
  type CurrentRound,
  type FederationEvent,
  type FederationState,
  type MachineConfig,
  UNSUSPECTED,
  type Validation,
} from './round-state.js';
import { closeRound, patch, type Setting, type Step, withAgent } from './step.js';

/**
 * Everything that is decided about a federation's course, as one pure function: (state, event) → (state, effects).
 * The runner journals the state before it performs the effects; after a crash it loads the state and performs `resumed`'s
 * effects instead, which repeat whatever was going on. So every effect may happen more than once, and none may be lost.
 */

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
  if (lineageHash === null) {
    if (!compatible || agents[event.agent]?.calibrated === true) return checkCalibrations(after, false, at);
    return patch(after, {}, { type: 'send-calibrate', agent: event.agent });
  }
  // Whoever says hello has just connected: what it was asked may never have reached it.
  if (current?.step === 'collecting' && pendingOf(after.state, at.config).includes(event.agent)) {
    return sendFit(after, current, [event.agent]);
  }
  if (isScoreAwaited(after.state, event.agent, at.config)) {
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

/**
 * A step of the server's own went wrong: recorded, and tried again when a deadline has passed, with fresh updates and from what the round began with.
 * Parameters that could not be validated hold the updates that are collected anew.
 */
function onStepFailed(before: Step, detail: string, at: Setting): Step {
  const { current, release, freezing } = before.state;
  if (freezing) return patch(before, { freezing: false }, { type: 'arm-calibration-deadline', ms: at.config.deadline });
  if (release !== null) return nextRound(patch(before, { release: null, releaseFailure: detail }), at);
  if (current === null) return before;
  const again: CurrentRound = { ...current, step: 'waiting', pausing: true, baseHash: null, accepted: [] };
  const failed = closeRound(
    patch(before, { ...current.before, current: again }),
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
  const asked = Object.keys(state.agents).filter((agent) => isReady(state, agent, config));
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
  if (current === null) return isReleaseOwed(before.state, at) ? releaseAgain(before) : nextRound(before, at);
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
      return collectAgain(before, current, at);
    case 'aggregating':
      return patch(before, {}, { type: 'aggregate' });
    case 'validating':
      return patch(before, {}, { type: 'validate' });
  }
}

/** A quorum may be another one now. */
function collectAgain(before: Step, current: CurrentRound, at: Setting): Step {
  const after = reconsider(before, at);
  if (after.state.current?.step !== 'collecting') return after;
  const sent = sendFit(after, after.state.current, pendingOf(before.state, at.config));
  return patch(sent, {}, armDeadline(current, at.config.deadline));
}

/** Whether the last release failed, and no round is left after which another would be tried. */
function isReleaseOwed({ committed, best, released, releaseFailure }: FederationState, { config }: Setting): boolean {
  const isOver = committed >= config.count;
  return isOver && releaseFailure !== null && best !== null && best.parametersHash !== released?.parametersHash;
}

/** With the scores that agents sent the first time. */
function releaseAgain(before: Step): Step {
  const { committed, best } = before.state;
  const nobody = { asked: [], answered: [], refused: [] };
  return startRelease(
    patch(before, { release: { round: committed, attempt: 0, step: 'evaluating', candidate: best!, ...nobody } }),
  );
}
