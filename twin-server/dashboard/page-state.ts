import type { Tag } from '@twinwatch/core/scada/tag';
import {
  type AgentHistory,
  type AgentView,
  type CertificateView,
  type DecisionView,
  HISTORY_ROWS,
  type ModelView,
  type RefusedMessages,
  type RegistryView,
  type RoundView,
  type ServerEvents,
  type ServerPhase,
} from '@twinwatch/core/wire/http';
import type { Telemetry } from '@twinwatch/core/wire/telemetry';
import { type Alarm, alarmsFrom, withAlarmEvent } from './alarm-list.js';

/** All the page knows. Every list has a bound, so that a page left open for months does not grow. */
export interface PageState {
  readonly connection: Connection;
  /** Null until the first `state` event. */
  readonly server: ServerFacts | null;
  /** By id. */
  readonly agents: readonly AgentView[];
  /** Ascending by number, the newest MAXIMUM_ROUNDS. */
  readonly rounds: readonly RoundView[];
  readonly model: ModelView | null;
  readonly registry: RegistryView | null;
  /** Those of most messages first. */
  readonly refused: readonly RefusedMessages[];
  readonly certificates: readonly CertificateView[];
  /** Newest first. */
  readonly alarms: readonly Alarm[];
  /** In the order they were made, the newest MAXIMUM_DECISIONS. */
  readonly decisions: readonly DecisionView[];
  /** Agent id → its newest telemetry, ascending by time. */
  readonly history: Readonly<Record<string, readonly Telemetry[]>>;
}

export interface Connection {
  readonly status: 'connecting' | 'live' | 'lost';
  /** Wall clock of the browser. */
  readonly sinceMs: number;
}

export interface ServerFacts {
  readonly federation: string;
  readonly phase: ServerPhase;
  readonly activity: string;
  readonly progress: number | null;
  readonly roundsPlanned: number;
  readonly tags: readonly Tag[];
}

type ServerEvent = {
  [Name in keyof ServerEvents]: { readonly type: Name; readonly data: ServerEvents[Name] };
}[keyof ServerEvents];

export type PageEvent =
  | ServerEvent
  | { readonly type: 'connection'; readonly status: Connection['status']; readonly atMs: number };

export const MAXIMUM_ROUNDS = 500;
export const MAXIMUM_DECISIONS = 400;
/** Sites whose last values are kept; beyond it the site heard from longest ago gives way. */
export const MAXIMUM_HISTORIES = 64;

export function initialState(nowMs: number): PageState {
  return {
    connection: { status: 'connecting', sinceMs: nowMs },
    server: null,
    agents: [],
    rounds: [],
    model: null,
    registry: null,
    refused: [],
    certificates: [],
    alarms: [],
    decisions: [],
    history: {},
  };
}

/** Events in the order they came, to the state after the last. Pure. */
export function reduceAll(state: PageState, events: readonly PageEvent[]): PageState {
  return events.reduce(reduce, state);
}

/** One event. An event that is seen twice changes nothing the second time. Pure. */
export function reduce(state: PageState, event: PageEvent): PageState {
  switch (event.type) {
    case 'connection':
      // While it stays lost, the moment of the loss is what a person wants to know.
      return event.status === state.connection.status
        ? state
        : { ...state, connection: { status: event.status, sinceMs: event.atMs } };
    case 'state': {
      const { federation, phase, activity, progress, roundsPlanned, tags } = event.data;
      const known = Object.fromEntries(
        event.data.agents.flatMap(({ id }) => (state.history[id] === undefined ? [] : [[id, state.history[id]]])),
      );
      return {
        ...state,
        server: { federation, phase, activity, progress, roundsPlanned, tags: tags ?? [] },
        agents: [...event.data.agents].sort(byId),
        rounds: [...event.data.rounds].sort((a, b) => a.round - b.round).slice(-MAXIMUM_ROUNDS),
        model: event.data.model,
        registry: event.data.registry,
        refused: event.data.refusedMessages,
        certificates: event.data.certificates ?? [],
        alarms: alarmsFrom(event.data.alarms),
        decisions: event.data.decisions,
        history: event.data.agents.reduce(
          (history, agent) => withTelemetry(history, agent.id, agent.lastTelemetry),
          known as PageState['history'],
        ),
      };
    }
    case 'phase':
      return state.server === null ? state : { ...state, server: { ...state.server, ...event.data } };
    case 'agent':
      return {
        ...state,
        agents: [...state.agents.filter(({ id }) => id !== event.data.id), event.data].sort(byId),
        history: withTelemetry(state.history, event.data.id, event.data.lastTelemetry),
      };
    case 'history':
      return {
        ...state,
        history: Object.entries(event.data).reduce(
          (history, [agent, columns]) => withHistory(history, agent, columns),
          state.history,
        ),
      };
    case 'telemetry':
      return { ...state, history: withTelemetry(state.history, event.data.agent, event.data.telemetry) };
    case 'round':
      return {
        ...state,
        rounds: [...state.rounds.filter(({ round }) => round !== event.data.round), event.data]
          .sort((a, b) => a.round - b.round)
          .slice(-MAXIMUM_ROUNDS),
      };
    case 'model':
      return { ...state, model: event.data };
    case 'refused':
      return { ...state, refused: event.data };
    case 'certificates':
      return { ...state, certificates: event.data };
    case 'registry':
      return { ...state, registry: event.data };
    case 'alarm':
      return { ...state, alarms: withAlarmEvent(state.alarms, event.data) };
    case 'decision':
      return { ...state, decisions: withDecision(state.decisions, event.data) };
  }
}

/** An answered one never goes back to waiting: what the page posted and what the stream says may cross. */
function withDecision(decisions: readonly DecisionView[], decision: DecisionView): readonly DecisionView[] {
  const before = decisions.find(({ commandId }) => commandId === decision.commandId);
  if (before !== undefined && before.answer !== null) return decisions;
  return [...decisions.filter((each) => each !== before), decision]
    .sort((a, b) => a.atMs - b.atMs)
    .slice(-MAXIMUM_DECISIONS);
}

function byId(a: AgentView, b: AgentView): number {
  return a.id.localeCompare(b.id, 'en', { numeric: true });
}

function withTelemetry(
  history: PageState['history'],
  agent: string,
  telemetry: Telemetry | null,
): PageState['history'] {
  if (telemetry === null) return history;
  const before = history[agent] ?? [];
  const last = before.at(-1);
  if (last !== undefined && last.atMs === telemetry.atMs) return history;
  // A plant that starts again starts its clock again: one time axis cannot show both.
  const kept = last !== undefined && telemetry.atMs < last.atMs ? [] : before.slice(1 - HISTORY_ROWS);
  // Re-inserted last, so that the keys are in order of who was heard from longest ago.
  const { [agent]: _, ...others } = history;
  const names = Object.keys(others);
  if (names.length >= MAXIMUM_HISTORIES) delete (others as Record<string, unknown>)[names[0]!];
  return { ...others, [agent]: [...kept, telemetry] };
}

/**
 * Fills in what the server has kept: between its first and its last row it knows best what there was; what the page had before and after stays.
 * Where the page has a row with its tags already, that one stays.
 */
function withHistory(history: PageState['history'], agent: string, columns: AgentHistory): PageState['history'] {
  const [firstMs, lastMs] = [columns.atMs[0], columns.atMs.at(-1)];
  if (firstMs === undefined || lastMs === undefined) return history;
  const own = history[agent] ?? [];
  if (own.length === 0 && Object.keys(history).length >= MAXIMUM_HISTORIES) return history;
  const known = new Map(own.map((row) => [row.atMs, row]));
  const kept = columns.atMs.map((atMs, index): Telemetry => {
    const before = known.get(atMs);
    const isWhole = before !== undefined && Object.keys(before.values).length > 0;
    return isWhole ? before : rowOf(columns, index);
  });
  const whole = [...own.filter(({ atMs }) => atMs < firstMs), ...kept, ...own.filter(({ atMs }) => atMs > lastMs)];
  return { ...history, [agent]: whole.slice(-HISTORY_ROWS) };
}

function rowOf({ atMs, score, values = {} }: AgentHistory, index: number): Telemetry {
  const tags = Object.entries(values).map(([tag, column]) => {
    const value = column[index] ?? null;
    return [tag, { value, quality: value === null ? 'absent' : 'good' }] as const;
  });
  return { atMs: atMs[index]!, score: score[index] ?? null, values: Object.fromEntries(tags) };
}
