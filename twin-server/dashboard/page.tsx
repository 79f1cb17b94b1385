import { type HistoryView, historyPath, type SessionView } from '@twinwatch/core/wire/http';
import { useEffect, useReducer, useState } from 'react';
import { activeAlarmOf, isActive } from './alarm-list.js';
import { followEvents } from './event-stream.js';
import { initialState, reduceAll } from './page-state.js';
import { Alarms } from './parts/alarms.js';
import { Certificates } from './parts/certificates.js';
import { Fleet } from './parts/fleet.js';
import { Header } from './parts/header.js';
import { ModelCard } from './parts/model-card.js';
import { Refused } from './parts/refused.js';
import { Rounds } from './parts/rounds.js';
import { Site } from './parts/site.js';

interface PageProps {
  /** Null where the server has no operators. */
  readonly operator: SessionView['operator'];
  /** The stream of changes has ended. */
  readonly onLost: () => void;
  readonly onLeave: () => void;
}

export function Page({ operator, onLost, onLeave }: PageProps) {
  const [state, dispatch] = useReducer(reduceAll, Date.now(), initialState);
  const [chosen, setChosen] = useState<string | null>(null);

  useEffect(
    () =>
      followEvents({
        open: () => new EventSource('/api/events'),
        onEvents: dispatch,
        now: Date.now,
        after: (ms, callback) => {
          const timer = window.setTimeout(callback, ms);
          return () => window.clearTimeout(timer);
        },
        random: Math.random,
      }),
    [],
  );

  const { server, agents, alarms, rounds, model, connection } = state;
  useEffect(() => {
    if (connection.status === 'lost') onLost();
  }, [connection, onLost]);
  const active = alarms.filter(isActive);
  // Until a person chooses, the site that needs attention is the one shown, or the one that did last.
  const selected =
    agents.find(({ id }) => id === chosen) ??
    agents.find(({ id }) => activeAlarmOf(active, id)) ??
    agents.find(({ id }) => id === alarms[0]?.agent) ??
    agents[0] ??
    null;

  const shownId = selected?.id ?? null;
  const liveSinceMs = connection.status === 'live' ? connection.sinceMs : null;
  useEffect(() => {
    if (shownId === null || liveSinceMs === null) return;
    const leaving = new AbortController();
    // Without it the charts fill as values come.
    void readHistory(shownId, leaving.signal).then(
      (data) => dispatch([{ type: 'history', data }]),
      () => undefined,
    );
    return () => leaving.abort();
  }, [shownId, liveSinceMs]);

  useEffect(() => {
    const name = server === null ? 'Twinwatch' : `${server.federation} · Twinwatch`;
    document.title = active.length === 0 ? name : `(${active.length}) ${name}`;
  }, [server, active.length]);

  return (
    <div className="page" data-connection={connection.status}>
      <Header server={server} connection={connection} activeAlarms={active.length}>
        {operator !== null && (
          <p>
            {operator.name}{' '}
            <button type="button" className="leave" onClick={onLeave}>
              Log out
            </button>
          </p>
        )}
      </Header>
      <main>
        <Alarms
          alarms={alarms}
          tags={server?.tags ?? []}
          hasModel={model !== null}
          decisions={state.decisions}
          operator={operator}
          onDecided={(data) => dispatch([{ type: 'decision', data }])}
          onSelect={setChosen}
        />
        <div className="main-column">
          <Fleet
            agents={agents}
            history={state.history}
            alarms={active}
            model={model}
            selected={selected?.id ?? null}
            onSelect={setChosen}
            phase={server?.phase ?? null}
          />
          <Site
            agent={selected}
            history={selected === null ? [] : (state.history[selected.id] ?? [])}
            alarms={alarms.filter(({ agent }) => agent === selected?.id)}
            tags={server?.tags ?? []}
            threshold={model?.threshold ?? null}
          />
        </div>
        <div className="side-column">
          <Rounds rounds={rounds} planned={server?.roundsPlanned ?? 0} waitingFor={server?.activity ?? null} />
          <ModelCard model={model} registry={state.registry} />
          <Certificates certificates={state.certificates} nowMs={Date.now()} />
          <Refused refused={state.refused} />
        </div>
      </main>
      <footer>
        Plant times are shown in {Intl.DateTimeFormat().resolvedOptions().timeZone}. The same facts as JSON:{' '}
        <a href="/api/state">/api/state</a>
      </footer>
    </div>
  );
}

/** The last values of a site's tags, which the stream of changes begins without. */
async function readHistory(agent: string, signal: AbortSignal): Promise<HistoryView> {
  const response = await fetch(historyPath(agent), { signal });
  return response.ok ? { [agent]: await response.json() } : {};
}
