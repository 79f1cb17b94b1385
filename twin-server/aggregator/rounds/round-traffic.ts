import type { AgentTraffic } from '@twinwatch/core/wire/traffic';
import type { FederationState } from './round-state.js';

/** Adds what crossed the wire since the last step to the round that is going on; without one it is nobody's. Strangers are not counted. */
export function withTraffic(state: FederationState, taken: ReadonlyMap<string, AgentTraffic>): FederationState {
  const { current, agents } = state;
  if (current === null || taken.size === 0) return state;
  const traffic = { ...current.traffic };
  for (const [agent, { up, down }] of taken) {
    if (agents[agent] === undefined) continue;
    const before = traffic[agent] ?? { up: 0, down: 0 };
    traffic[agent] = { up: before.up + up, down: before.down + down };
  }
  return { ...state, current: { ...current, traffic } };
}
