import type { RoundPhase, RoundView } from '@twinwatch/core/wire/http';
import type { CurrentRound, RoundStep, Validation } from './round-state.js';
import type { ClosedRound } from './step.js';

/** Rounds as the page and other tools see them. */

const PHASES: { readonly [K in RoundStep]: RoundPhase } = {
  waiting: 'collecting',
  'twin-fit': 'twin-fit',
  collecting: 'collecting',
  aggregating: 'aggregating',
  validating: 'aggregating',
};

export function currentRoundView(round: CurrentRound, method: string): RoundView {
  return view(round, method, PHASES[round.step], null, null);
}

export function closedRoundView(closed: ClosedRound, method: string): RoundView {
  const { round, committed, validation, endedAtMs } = closed;
  return view(round, method, committed ? 'committed' : 'failed', validation, endedAtMs - round.startedAtMs);
}

function view(
  round: CurrentRound,
  method: string,
  phase: RoundPhase,
  validation: Validation | null,
  milliseconds: number | null,
): RoundView {
  return {
    round: round.round,
    phase,
    method,
    asked: round.asked,
    accepted: round.accepted.map(({ agent }) => agent),
    rejected: round.rejected.map(({ agent, verdict, detail }) => ({ agent, verdict, detail })),
    leftOut: round.leftOut,
    remarks: round.remarks,
    validation,
    bytesUp: round.bytesUp,
    bytesDown: round.bytesDown,
    traffic: round.traffic,
    startedAtMs: round.startedAtMs,
    milliseconds,
  };
}
