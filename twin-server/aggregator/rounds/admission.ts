import type { UpdateVerdict } from '@twinwatch/core/wire/messages';
import type { CurrentRound, FederationState, MachineConfig, UpdateFacts } from './round-state.js';

/** Who is waited for, and whose update can count. */

/** Whether an update can count at all, before its content is looked at; null where it can. */
export function admission(
  state: FederationState,
  update: UpdateFacts,
): { readonly verdict: UpdateVerdict; readonly detail: string } | null {
  const { current, release } = state;
  if (state.agents[update.agent]?.compatible !== true) {
    return { verdict: 'unknown-agent', detail: 'no hello with the tags of this federation came from it' };
  }
  if (state.agents[update.agent]?.quarantinedAtMs !== null) {
    const detail = 'it is in quarantine, since several of its updates were refused; an operator has to lift that';
    return { verdict: 'quarantined', detail };
  }
  const open = update.kind === 'fit' ? current : release;
  if (open === null || open.round !== update.round) {
    if (update.kind === 'evaluate' && current?.step === 'collecting' && current.round === update.round) {
      return { verdict: 'wrong-shape', detail: 'it holds no parameters, and the round asks for trained ones' };
    }
    return { verdict: 'stale-round', detail: notOpen(state, update.round) };
  }
  const answered =
    update.kind === 'fit'
      ? current?.accepted.some((a) => a.agent === update.agent)
      : release?.answered.includes(update.agent);
  if (answered === true) return { verdict: 'duplicate', detail: 'already counted' };
  if (open.step !== 'collecting' && open.step !== 'evaluating') {
    return { verdict: 'stale-round', detail: notOpen(state, update.round) };
  }
  if (!open.asked.includes(update.agent)) return { verdict: 'unknown-agent', detail: 'it was not asked in this round' };
  const base = update.kind === 'fit' ? current?.baseHash : release?.candidate.parametersHash;
  if (update.baseHash !== base)
    return { verdict: 'wrong-base', detail: `it starts from ${update.baseHash}, not ${base}` };
  return null;
}

function notOpen({ current, release, committed }: FederationState, round: number): string {
  const number = current?.round ?? release?.round ?? committed;
  return number === round ? `round ${round} takes no more updates` : `round ${round} is not open, ${number} is`;
}

/** Asked, reachable, and not heard of in this attempt. */
export function pendingOf(state: FederationState, config: ReadyConfig): string[] {
  const { current } = state;
  return (current?.asked ?? []).filter((agent) => isReady(state, agent, config) && !hasAnswered(current!, agent));
}

export function hasAnswered(current: CurrentRound, agent: string): boolean {
  return current.accepted.some((accepted) => accepted.agent === agent) || current.refused.includes(agent);
}

/** Whether somebody who was asked to score a candidate, and can be reached, has not answered. */
export function isScoreAwaited(state: FederationState, agent: string, config: ReadyConfig): boolean {
  const { release } = state;
  if (release?.step !== 'evaluating' || !release.asked.includes(agent)) return false;
  if (!isReady(state, agent, config)) return false;
  return !release.answered.includes(agent) && !release.refused.includes(agent);
}

type ReadyConfig = Pick<MachineConfig, 'minimumRows'>;

/**
 * Whether it is there, can take part, and may. One without rows to learn from would keep a round waiting until its deadline; one that
 * calibrated has had them, whatever it said at its last hello.
 */
export function isReady(state: FederationState, agent: string, { minimumRows }: ReadyConfig): boolean {
  const known = state.agents[agent];
  if (known?.online !== true || !known.compatible || known.quarantinedAtMs !== null) return false;
  return known.calibrated || known.eligibleRows >= minimumRows;
}
