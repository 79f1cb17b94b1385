/**
 * The alarm of one detector as a pure state machine: (state, event) → (state, effects). Delays count rows, so they run on source
 * time and mean the same in a replay. Terms after ISA-18.2: acknowledged, shelved.
 */

export interface AlarmParameters {
  /** A row counts as above from this score on. */
  readonly threshold: number;
  /** Raised by this many rows above in a row; 0 and 1 both mean the first. */
  readonly onDelayRows: number;
  /** Cleared by this many rows in a row below threshold × (1 − hysteresis). */
  readonly offDelayRows: number;
  /** 0 … 1. */
  readonly hysteresis: number;
}

export interface AlarmState {
  /** Rows above, or below, in a row, up to now. */
  readonly above: number;
  readonly below: number;
  /** Alarms so far, and transitions of the newest: together they name an event. */
  readonly alarmNumber: number;
  readonly transitionNumber: number;
  readonly active: {
    readonly raisedAtMs: number;
    readonly acknowledged: boolean;
    /** Source time at which shelving ends; null while not shelved. */
    readonly shelvedUntilMs: number | null;
    /** Highest score since it was raised; absent in a state that an earlier release has stored. */
    readonly peakScore?: number;
  } | null;
  /** Source time of the newest row that was judged, null before the first. */
  readonly rowTimeMs: number | null;
  readonly score: number;
}

export type AlarmInput =
  /** `score` null: the detector abstains. Such a row neither raises nor clears, and breaks no run of rows. */
  { readonly kind: 'row'; readonly timeMs: number; readonly score: number | null } | OperatorInput;

type OperatorInput =
  | { readonly kind: 'acknowledge'; readonly timeMs: number }
  | { readonly kind: 'shelve'; readonly timeMs: number; readonly untilMs: number }
  | { readonly kind: 'unshelve'; readonly timeMs: number };

export type AlarmTransition = 'raised' | 'cleared' | 'acknowledged' | 'shelved' | 'unshelved';

export interface AlarmEffect {
  readonly transition: AlarmTransition;
  readonly alarmNumber: number;
  /** Counts from 1 within an alarm. */
  readonly transitionNumber: number;
  readonly atMs: number;
  /** Of the row that was judged last. */
  readonly score: number;
  /** The highest since the alarm was raised. */
  readonly peakScore: number;
}

export interface AlarmStep {
  readonly state: AlarmState;
  readonly effects: readonly AlarmEffect[];
}

export const QUIET_ALARM: AlarmState = {
  above: 0,
  below: 0,
  alarmNumber: 0,
  transitionNumber: 0,
  active: null,
  rowTimeMs: null,
  score: 0,
};

function transit(state: AlarmState, transition: AlarmTransition, atMs: number, peakScore: number): AlarmStep {
  const raised = transition === 'raised';
  const alarmNumber = raised ? state.alarmNumber + 1 : state.alarmNumber;
  const transitionNumber = raised ? 1 : state.transitionNumber + 1;
  const effect: AlarmEffect = { transition, alarmNumber, transitionNumber, atMs, score: state.score, peakScore };
  return { state: { ...state, alarmNumber, transitionNumber }, effects: [effect] };
}

function onRow(before: AlarmState, parameters: AlarmParameters, timeMs: number, score: number): AlarmStep {
  const { threshold, onDelayRows, offDelayRows, hysteresis } = parameters;
  const isAbove = score >= threshold;
  const isBelow = score < threshold * (1 - hysteresis);
  const state: AlarmState = {
    ...before,
    score,
    rowTimeMs: timeMs,
    above: isAbove ? before.above + 1 : 0,
    below: isBelow ? before.below + 1 : 0,
  };
  if (state.active === null) {
    if (!isAbove || state.above < onDelayRows) return { state, effects: [] };
    const active = { raisedAtMs: timeMs, acknowledged: false, shelvedUntilMs: null, peakScore: score };
    return transit({ ...state, active }, 'raised', timeMs, score);
  }
  const peakScore = Math.max(score, peakOf(before, state.active));
  const active = { ...state.active, peakScore };
  if (isBelow && state.below >= offDelayRows) return transit({ ...state, active: null }, 'cleared', timeMs, peakScore);
  const { shelvedUntilMs } = active;
  if (shelvedUntilMs !== null && timeMs >= shelvedUntilMs)
    return transit({ ...state, active: { ...active, shelvedUntilMs: null } }, 'unshelved', timeMs, peakScore);
  return { state: { ...state, active }, effects: [] };
}

function peakOf({ score }: Pick<AlarmState, 'score'>, { peakScore }: NonNullable<AlarmState['active']>): number {
  return peakScore ?? score;
}

/** What a person does. */
function onOperator(state: AlarmState, input: OperatorInput): AlarmStep {
  const unchanged: AlarmStep = { state, effects: [] };
  const { active } = state;
  if (active === null) return unchanged;
  const to = (transition: AlarmTransition, change: Partial<typeof active>): AlarmStep =>
    transit({ ...state, active: { ...active, ...change } }, transition, input.timeMs, peakOf(state, active));
  switch (input.kind) {
    case 'acknowledge':
      return active.acknowledged ? unchanged : to('acknowledged', { acknowledged: true });
    case 'shelve':
      return input.untilMs <= input.timeMs ? unchanged : to('shelved', { shelvedUntilMs: input.untilMs });
    case 'unshelve':
      return active.shelvedUntilMs === null ? unchanged : to('unshelved', { shelvedUntilMs: null });
  }
}

/** One event. What makes no sense in the state (acknowledging nothing, or twice) changes nothing and has no effect. */
export function alarmStep(state: AlarmState, input: AlarmInput, parameters: AlarmParameters): AlarmStep {
  if (input.kind !== 'row') return onOperator(state, input);
  if (input.score === null) return { state: { ...state, rowTimeMs: input.timeMs }, effects: [] };
  return onRow(state, parameters, input.timeMs, input.score);
}
