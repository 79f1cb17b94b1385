import {
  type AgentState,
  type CurrentRound,
  type Effect,
  type FederationState,
  type MachineConfig,
  UNSUSPECTED,
  type Validation,
} from './round-state.js';

/** What a step of the round machine is made of: the state as it becomes, what is to be done, and the rounds that ended. */

export interface Step {
  readonly state: FederationState;
  readonly effects: readonly Effect[];
  /** Rounds that ended with this event, for the record. */
  readonly closed: readonly ClosedRound[];
}

export interface ClosedRound {
  readonly round: CurrentRound;
  readonly committed: boolean;
  readonly detail: string;
  readonly validation: Validation | null;
  readonly endedAtMs: number;
}

export interface Setting {
  readonly config: MachineConfig;
  readonly nowMs: number;
}

export function patch(before: Step, change: Partial<FederationState>, ...effects: readonly Effect[]): Step {
  return { ...before, state: { ...before.state, ...change }, effects: [...before.effects, ...effects] };
}

export function closeRound(
  before: Step,
  round: CurrentRound,
  outcome: Pick<ClosedRound, 'committed' | 'detail' | 'validation'>,
  at: Setting,
): Step {
  return { ...before, closed: [...before.closed, { round, ...outcome, endedAtMs: at.nowMs }] };
}

/** Names that were heard of and cannot take part. Anybody with the right to publish can make up as many as they like. */
const KEPT_STRANGERS = 256;

const UNSEEN = {
  online: false,
  connectionId: null,
  compatible: false,
  detail: 'no hello yet',
  eligibleRows: 0,
  calibrated: false,
  lastRound: null,
  rejectedUpdates: 0,
  ...UNSUSPECTED,
} as const;

export function withAgent(before: Step, agent: string, change: Partial<FederationState['agents'][string]>): Step {
  const { agents } = before.state;
  const next = { ...(agents[agent] ?? UNSEEN), ...change };
  const isNew = agents[agent] === undefined && isStranger(next);
  if (isNew && Object.values(agents).filter(isStranger).length >= KEPT_STRANGERS) return before;
  return patch(before, { agents: { ...agents, [agent]: next } });
}

function isStranger({ compatible, calibrated, lastRound }: AgentState): boolean {
  return !compatible && !calibrated && lastRound === null;
}
