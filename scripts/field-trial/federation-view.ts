import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import type { AgentView, ModelView, RoundView, ServerPhase } from '@twinwatch/core/wire/http';
import type { ServerEvent } from '../processes/server-events.js';

/** What is known of a federation from its server's events. */
export interface FederationView {
  readonly phase: ServerPhase | null;
  readonly activity: string;
  readonly agents: ReadonlyMap<string, AgentView>;
  readonly rounds: ReadonlyMap<number, RoundView>;
  readonly model: ModelView | null;
  /** By event id. */
  readonly alarms: ReadonlyMap<string, AlarmEvent>;
}

export const NOTHING_KNOWN: FederationView = {
  phase: null,
  activity: '',
  agents: new Map(),
  rounds: new Map(),
  model: null,
  alarms: new Map(),
};

const keyed = <K, V>(before: ReadonlyMap<K, V>, values: readonly V[], key: (value: V) => K): ReadonlyMap<K, V> =>
  new Map([...before, ...values.map((value) => [key(value), value] as const)]);

export function learnOf(view: FederationView, event: ServerEvent): FederationView {
  switch (event.kind) {
    case 'state': {
      const { phase, activity, agents, rounds, model, alarms } = event.data;
      return {
        phase,
        activity,
        agents: keyed(view.agents, agents, ({ id }) => id),
        rounds: keyed(view.rounds, rounds, ({ round }) => round),
        model,
        alarms: keyed(view.alarms, alarms, ({ eventId }) => eventId),
      };
    }
    case 'phase':
      return { ...view, phase: event.data.phase, activity: event.data.activity };
    case 'agent':
      return { ...view, agents: keyed(view.agents, [event.data], ({ id }) => id) };
    case 'round':
      return { ...view, rounds: keyed(view.rounds, [event.data], ({ round }) => round) };
    case 'model':
      return { ...view, model: event.data };
    case 'alarm':
      return { ...view, alarms: keyed(view.alarms, [event.data], ({ eventId }) => eventId) };
    case 'telemetry':
    case 'history':
    case 'registry':
    case 'refused':
    case 'certificates':
    case 'decision':
      return view;
  }
}
