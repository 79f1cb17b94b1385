import type { Tag } from '@twinwatch/core/scada/tag';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import type { Refusals } from '@twinwatch/core/wire/gate';
import type {
  AgentView,
  CertificateView,
  DecisionView,
  ModelView,
  QuarantineView,
  RefusedMessages,
  RegistryView,
  RoundView,
  ServerState,
} from '@twinwatch/core/wire/http';
import type { AgentStatus } from '@twinwatch/core/wire/status';
import type { Telemetry } from '@twinwatch/core/wire/telemetry';
import { isReady } from '../aggregator/rounds/admission.js';
import type { AgentState, FederationState, MachineConfig } from '../aggregator/rounds/round-state.js';
import { currentRoundView } from '../aggregator/rounds/round-view.js';

const SHOWN_REFUSALS = 100;

/** What the server knows, from wherever it is kept, in one piece: the source of every view. */
export interface Snapshot {
  readonly federation: string;
  readonly machine: Pick<MachineConfig, 'method' | 'count' | 'quorum' | 'minimumRows'>;
  /** Share of the twin's episodes simulated; null once it is ready. */
  readonly twinProgress: number | null;
  readonly tags: readonly Tag[] | null;
  /** Null until the twin is ready. */
  readonly state: FederationState | null;
  readonly statuses: ReadonlyMap<string, AgentStatus>;
  readonly telemetry: ReadonlyMap<string, Telemetry>;
  readonly closedRounds: readonly RoundView[];
  readonly model: ModelView | null;
  readonly registry: RegistryView | null;
  readonly alarms: readonly AlarmEvent[];
  readonly decisions: readonly DecisionView[];
  /** By who they say they are from. */
  readonly refused: ReadonlyMap<string, Refusals>;
  readonly certificates: readonly CertificateView[];
}

export function serverState(from: Snapshot): ServerState {
  const { federation, machine, closedRounds, model, registry, alarms, decisions, state, statuses, tags, refused } =
    from;
  const ids = [...new Set([...Object.keys(state?.agents ?? {}), ...statuses.keys()])].sort();
  const open = openRoundView(from);
  const rounds = [...closedRounds.filter(({ round }) => round !== open?.round), ...(open === null ? [] : [open])];
  return {
    federation,
    ...phaseView(from),
    roundsPlanned: machine.count,
    ...(tags === null ? {} : { tags }),
    agents: ids.map((id) => agentView(id, from)),
    rounds,
    model,
    registry,
    alarms,
    decisions,
    refusedMessages: refusedMessages(refused),
    certificates: from.certificates,
  };
}

/** Those of most messages first. */
export function refusedMessages(refused: Snapshot['refused']): RefusedMessages[] {
  return [...refused]
    .map(([sender, refusals]) => ({ sender, ...refusals }))
    .sort((a, b) => b.count - a.count)
    .slice(0, SHOWN_REFUSALS);
}

/** The round that is going on; null between rounds, and for one that waits for agents and has not begun. */
export function openRoundView({ state, machine }: Pick<Snapshot, 'state' | 'machine'>): RoundView | null {
  const current = state?.current ?? null;
  if (current === null || current.step === 'waiting') return null;
  return currentRoundView(current, machine.method);
}

export function agentView(
  id: string,
  { state, statuses, telemetry }: Pick<Snapshot, 'state' | 'statuses' | 'telemetry'>,
): AgentView {
  const known = state?.agents[id];
  return {
    id,
    status: statuses.get(id) ?? null,
    eligibleRows: known?.eligibleRows ?? 0,
    lastRound: known?.lastRound ?? null,
    rejectedUpdates: known?.rejectedUpdates ?? 0,
    quarantine: known === undefined ? null : quarantineView(known),
    ...(known?.online === true && !known.compatible && known.codecs !== undefined ? { unfit: known.detail } : {}),
    lastTelemetry: telemetry.get(id) ?? null,
  };
}

function quarantineView({ quarantinedAtMs, strikes }: AgentState): QuarantineView | null {
  if (quarantinedAtMs === null) return null;
  const reasons = strikes.map(({ round, verdict, detail, atMs }) => ({ round, verdict, detail, atMs }));
  return { sinceMs: quarantinedAtMs, reasons };
}

export function phaseView(
  from: Pick<Snapshot, 'twinProgress' | 'state' | 'machine'>,
): Pick<ServerState, 'phase' | 'activity' | 'progress'> {
  const { twinProgress, state, machine } = from;
  if (state === null) {
    return { phase: 'simulating-twin', activity: 'simulating the twin', progress: twinProgress };
  }
  const agents = Object.values(state.agents);
  const here = agents.filter(
    ({ online, compatible, quarantinedAtMs }) => online && compatible && quarantinedAtMs === null,
  ).length;
  if (state.lineageHash === null) {
    const calibrated = agents.filter((agent) => agent.calibrated).length;
    if (here < machine.quorum && calibrated < machine.quorum) {
      const activity = `waiting for agents: ${here} of at least ${machine.quorum} are here${unfit(state)}`;
      return { phase: 'waiting-for-agents', activity, progress: here / machine.quorum };
    }
    const activity = `${calibrated} of ${Math.max(here, machine.quorum)} agents have sent their calibration`;
    return { phase: 'calibrating', activity, progress: calibrated / Math.max(here, machine.quorum) };
  }
  const { current, release } = state;
  const progress = state.committed / machine.count;
  if (release !== null) {
    const asked = `${release.answered.length} of ${release.asked.length} agents have scored it`;
    const doing = release.step === 'evaluating' ? asked : 'exporting it';
    return { phase: 'rounds', activity: `releasing the model of round ${release.candidate.round}: ${doing}`, progress };
  }
  if (current === null) {
    const failure = state.releaseFailure === null ? '' : `; its release failed: ${state.releaseFailure}`;
    return { phase: 'finished', activity: `${state.committed} rounds are done${failure}`, progress: 1 };
  }
  const of = `round ${current.round} of ${machine.count}`;
  switch (current.step) {
    case 'waiting': {
      const ready = Object.keys(state.agents).filter((id) => isReady(state, id, machine)).length;
      const activity = `${of} waits for agents: ${ready} of at least ${machine.quorum} are here${unfit(state)}`;
      return { phase: 'rounds', activity, progress };
    }
    case 'twin-fit':
      return { phase: 'rounds', activity: `${of}: the twin model is training`, progress };
    case 'collecting': {
      const activity = `${of}: ${current.accepted.length} of ${current.asked.length} updates are here`;
      return { phase: 'rounds', activity, progress };
    }
    case 'aggregating':
    case 'validating':
      return { phase: 'rounds', activity: `${of}: averaging and validating`, progress };
  }
}

function unfit(state: FederationState): string {
  const problems = Object.entries(state.agents)
    .filter(([, agent]) => agent.online && (!agent.compatible || agent.quarantinedAtMs !== null))
    .map(([id, agent]) => `${id}: ${agent.compatible ? 'in quarantine' : agent.detail}`);
  return problems.length === 0 ? '' : ` (${problems.slice(0, 3).join('; ')})`;
}
