import { createHash } from 'node:crypto';
import type { RegistryConfig } from '@twinwatch/core/config/registry';
import type { GateView, ModelStage } from '@twinwatch/core/wire/http';
import { type Bounds, judged, type ShadowNumbers } from './shadow-numbers.js';

/**
 * The course of an exported model, as one pure function: gates → shadow beside the current one on the agents' rows → canary on a share of agents →
 * released to all, or back. What is journalled is the state; manifests follow from it.
 */

export type CourseConfig = RegistryConfig & Bounds;

export interface Candidate {
  readonly version: string;
  readonly stage: 'shadow' | 'canary';
  readonly sinceMs: number;
  /** Those that run it beside (shadow) or in place of (canary) the current one. */
  readonly agents: readonly string[];
  readonly numbers: Readonly<Record<string, ShadowNumbers>>;
}

export interface ModelRecord {
  readonly stage: ModelStage;
  /** In words: why it is there. */
  readonly reason: string;
  readonly atMs: number;
  readonly gates: readonly GateView[];
}

export interface CourseState {
  readonly current: string | null;
  /** Models that were current before, newest first: what a rollback goes back to. */
  readonly before: readonly string[];
  readonly candidate: Candidate | null;
  /** Its turn comes when the trial of the candidate is over; the newest of those that came meanwhile. */
  readonly next: string | null;
  /** Set while agents are to run an older model than they did. */
  readonly rollback: { readonly from: string; readonly by: string; readonly reason: string } | null;
  readonly records: Readonly<Record<string, ModelRecord>>;
}

export const NO_COURSE: CourseState = {
  current: null,
  before: [],
  candidate: null,
  next: null,
  rollback: null,
  records: {},
};

export type CourseEvent =
  | {
      readonly type: 'exported';
      readonly version: string;
      readonly gates: readonly GateView[];
      readonly agents: readonly string[];
    }
  | { readonly type: 'numbers'; readonly version: string; readonly agent: string; readonly numbers: ShadowNumbers }
  | { readonly type: 'tick' }
  /** The trial before is over: the next one's begins, if it passes gates that compare it with what is current now. */
  | { readonly type: 'turn'; readonly gates: readonly GateView[]; readonly agents: readonly string[] }
  | { readonly type: 'release'; readonly version: string; readonly by: string }
  /** To the one before where no version is named; a candidate that is under way is taken back in any case. */
  | { readonly type: 'rollback'; readonly version: string | null; readonly by: string; readonly reason: string };

const KEPT_BEFORE = 10;
const KEPT_RECORDS = 200;
/** Named in one manifest, which is one message; of more, these are asked. */
const MOST_AGENTS = 1_000;
/** Rows without which a canary is not ended early. */
const TELLING_ROWS = 50;

export function courseStep(state: CourseState, event: CourseEvent, config: CourseConfig, nowMs: number): CourseState {
  switch (event.type) {
    case 'exported':
      return onExported(state, event, config, nowMs);
    case 'numbers': {
      const { candidate } = state;
      if (candidate?.version !== event.version || !candidate.agents.includes(event.agent)) return state;
      const numbers = { ...candidate.numbers, [event.agent]: event.numbers };
      return decide({ ...state, candidate: { ...candidate, numbers } }, config, nowMs, false);
    }
    case 'tick':
      return decide(state, config, nowMs, true);
    case 'turn': {
      const { next: version } = state;
      if (version === null || state.candidate !== null) return state;
      return begin({ ...state, next: null }, { ...event, version }, config, nowMs);
    }
    case 'release':
      return state.current === event.version
        ? state
        : released(state, event.version, `released by ${event.by}`, nowMs, event.by);
    case 'rollback':
      return onRollback(state, event, nowMs);
  }
}

interface Contender {
  readonly version: string;
  readonly gates: readonly GateView[];
  readonly agents: readonly string[];
}

/** A trial under way goes on: with releases more often than one lasts, none would ever come to its end. */
function onExported(before: CourseState, contender: Contender, config: CourseConfig, nowMs: number): CourseState {
  const { version, gates } = contender;
  const { candidate, next } = before;
  if (before.records[version] !== undefined) return before;
  if (gates.some(({ passed }) => !passed)) return begin(before, contender, config, nowMs);
  const clear =
    next === null
      ? before
      : withRecord({ ...before, next: null }, next, 'superseded', `${version} came before its turn did`, nowMs);
  if (candidate === null) return begin(clear, contender, config, nowMs);
  const reason = `it waits for the end of the trial of ${candidate.version}`;
  return withRecord({ ...clear, next: version }, version, 'waiting', reason, nowMs, gates);
}

function begin(
  before: CourseState,
  { version, gates, agents }: Contender,
  config: CourseConfig,
  nowMs: number,
): CourseState {
  const failed = gates.filter(({ passed }) => !passed);
  const fresh = withRecord(before, version, 'shadow', 'exported', nowMs, gates);
  if (failed.length > 0)
    return withRecord(fresh, version, 'refused', failed.map(({ detail }) => detail).join('; '), nowMs);
  if (before.current === null) return released(fresh, version, 'the first one', nowMs, 'the server');
  const share = Math.min(1, MOST_AGENTS / Math.max(1, agents.length));
  const asked = agents.length === 0 ? [] : canaryAgents(version, agents, share).slice(0, MOST_AGENTS);
  return advance(
    { ...fresh, candidate: { version, stage: 'shadow', sinceMs: nowMs, agents: asked, numbers: {} } },
    config.shadow.rows > 0 && agents.length > 0 ? 'shadow' : 'canary',
    'it has passed the gates of the server',
    config,
    nowMs,
  );
}

/** Puts the candidate into a stage, or past it where it does not apply. */
function advance(
  state: CourseState,
  stage: 'shadow' | 'canary',
  reason: string,
  config: CourseConfig,
  nowMs: number,
): CourseState {
  const candidate = state.candidate!;
  if (stage === 'shadow')
    return withRecord(state, candidate.version, 'shadow', `${reason}; agents run it beside the current one`, nowMs);
  const { share, minimumAgents } = config.canary;
  const known = candidate.agents;
  if (share <= 0 || known.length < minimumAgents)
    return released(
      state,
      candidate.version,
      `${reason}; ${known.length} agents are too few for a canary`,
      nowMs,
      'the server',
    );
  const agents = canaryAgents(candidate.version, known, share);
  const next: Candidate = { ...candidate, stage: 'canary', sinceMs: nowMs, agents, numbers: {} };
  return withRecord(
    { ...state, candidate: next },
    candidate.version,
    'canary',
    `${reason}; it runs on ${agents.length} of ${known.length} agents`,
    nowMs,
  );
}

/** A share of the agents, at least one, in an order that only version and names decide. */
export function canaryAgents(version: string, agents: readonly string[], share: number): string[] {
  const rank = (agent: string) => createHash('sha256').update(`${version} ${agent}`).digest('hex');
  const count = Math.max(1, Math.ceil(share * agents.length));
  return [...agents]
    .sort((a, b) => (rank(a) < rank(b) ? -1 : 1))
    .slice(0, count)
    .sort();
}

function decide(state: CourseState, config: CourseConfig, nowMs: number, isTick: boolean): CourseState {
  const { candidate } = state;
  if (candidate === null) return state;
  const { stage, agents, numbers, sinceMs } = candidate;
  const limits = stage === 'shadow' ? config.shadow : config.canary;
  const { rows, rate, bound, isBad, failed, isBroken, words } = judged(numbers, agents.length, config);
  if (isBroken)
    return takenBack(
      state,
      candidate,
      stage === 'shadow' ? 'refused' : 'rolled-back',
      `it does not run on ${failed.join('; ')}`,
      nowMs,
    );
  const isComplete = agents.every(
    (agent) => numbers[agent]?.failed === true || (numbers[agent]?.rows ?? 0) >= limits.rows,
  );
  const isOver = nowMs - sinceMs >= limits.time;
  // A canary runs for its time as well, and for twice of it where an agent has gone away; a shadow is over once all have told.
  const isLate = nowMs - sinceMs >= 2 * limits.time;
  const isDue = stage === 'shadow' ? isComplete || isOver : isLate || (isComplete && isOver);
  // Before everybody has told, only what would be too much whatever the others tell.
  if ((isDue ? rate > bound : isBad) && rows >= TELLING_ROWS)
    return takenBack(state, candidate, stage === 'shadow' ? 'refused' : 'rolled-back', words, nowMs);
  if (!isDue) return state;
  if (rows === 0 || rate > bound) {
    const waits = `no agent has told yet what it makes of its rows; \`twinwatch model release ${candidate.version}\` does not wait for that`;
    const reason = rows === 0 ? waits : words;
    if (isLate && state.next !== null)
      return takenBack(state, candidate, 'superseded', `${state.next} waits for its turn; ${reason}`, nowMs);
    const known = state.records[candidate.version];
    return isTick && known?.reason !== reason ? withRecord(state, candidate.version, stage, reason, nowMs) : state;
  }
  return stage === 'shadow'
    ? advance(state, 'canary', words, config, nowMs)
    : released(state, candidate.version, words, nowMs, 'the server');
}

function released(state: CourseState, version: string, reason: string, nowMs: number, by: string): CourseState {
  const { current, candidate } = state;
  const order = Object.keys(state.records);
  const isOlder = current !== null && order.indexOf(version) < order.indexOf(current);
  const others = state.before.filter((one) => one !== version);
  const clear =
    candidate === null || candidate.version === version
      ? { ...state, candidate: null }
      : takenBack(state, candidate, 'superseded', `${version} was released`, nowMs);
  const replaced =
    current === null ? clear : withRecord(clear, current, 'replaced', `${version} took its place`, nowMs);
  return withRecord(
    {
      ...replaced,
      current: version,
      next: state.next === version ? null : state.next,
      before: current === null ? [] : [current, ...others].slice(0, KEPT_BEFORE),
      rollback: isOlder
        ? { from: current, by, reason }
        : replaced.rollback?.from === candidate?.version
          ? replaced.rollback
          : null,
    },
    version,
    'released',
    reason,
    nowMs,
  );
}

function onRollback(state: CourseState, event: Extract<CourseEvent, { type: 'rollback' }>, nowMs: number): CourseState {
  const { current, candidate } = state;
  const why = `${event.reason} (${event.by})`;
  const { next } = state;
  // Nobody who goes back wants the one that was to come.
  const calm =
    next === null || next === event.version
      ? { ...state, next: null }
      : withRecord({ ...state, next: null }, next, 'rolled-back', why, nowMs);
  const clear = candidate === null ? calm : takenBack(calm, candidate, 'rolled-back', why, nowMs);
  const to = event.version ?? (candidate === null ? state.before[0] : current) ?? null;
  if (to === null || to === current || current === null) return clear;
  const back = withRecord(clear, current, 'rolled-back', why, nowMs);
  return withRecord(
    {
      ...back,
      current: to,
      before: state.before.filter((one) => one !== to),
      rollback: { from: current, by: event.by, reason: event.reason },
    },
    to,
    'released',
    `back from ${current}: ${why}`,
    nowMs,
  );
}

/** A canary ran it in place of the current one: those agents are told that the older one is meant. */
function takenBack(
  state: CourseState,
  candidate: Candidate,
  stage: ModelStage,
  reason: string,
  nowMs: number,
): CourseState {
  const rollback =
    candidate.stage === 'canary' ? { from: candidate.version, by: 'the server', reason } : state.rollback;
  return withRecord({ ...state, candidate: null, rollback }, candidate.version, stage, reason, nowMs);
}

function withRecord(
  state: CourseState,
  version: string,
  stage: ModelStage,
  reason: string,
  atMs: number,
  gates: readonly GateView[] = state.records[version]?.gates ?? [],
): CourseState {
  const records = Object.entries({ ...state.records, [version]: { stage, reason, atMs, gates } });
  const inUse = new Set([version, state.current, state.next, state.candidate?.version, ...state.before]);
  const kept = records.filter(([of], i) => i >= records.length - KEPT_RECORDS || inUse.has(of));
  return { ...state, records: Object.fromEntries(kept) };
}
