import type { ReactNode } from 'react';
import type { Connection, ServerFacts } from '../page-state.js';
import { clockWords, PHASES, shareWords } from '../wording.js';
import { AlarmMark, TwinMark } from './marks.js';

interface HeaderProps {
  readonly server: ServerFacts | null;
  readonly connection: Connection;
  readonly activeAlarms: number;
  /** Who is logged in, where that matters. */
  readonly children?: ReactNode;
}

/** Who this is, what it is doing, whether anything needs attention, and whether what is shown is live. */
export function Header({ server, connection, activeAlarms, children }: HeaderProps) {
  return (
    <header>
      <div className="title">
        <TwinMark />
        <div>
          <h1>Twinwatch</h1>
          <p>{server === null ? 'no federation yet' : `federation ${server.federation}`}</p>
        </div>
      </div>
      <Progress server={server} />
      <div className="standing">
        <p className={activeAlarms > 0 ? 'badge alarm' : 'badge quiet'} role="status" data-testid="alarm-count">
          {activeAlarms > 0 && <AlarmMark />}
          {activeAlarms === 0
            ? 'No active alarm'
            : activeAlarms === 1
              ? '1 active alarm'
              : `${activeAlarms} active alarms`}
        </p>
        <p className={`link ${connection.status}`} data-testid="link">
          <span className="dot" aria-hidden="true" />
          {connection.status === 'live' ? 'Live' : connection.status === 'lost' ? 'Connection lost' : 'Connecting'}
        </p>
        {children}
      </div>
      {connection.status === 'lost' && (
        <p className="lost-banner" role="alert">
          Connection to the twin-server lost at {clockWords(connection.sinceMs)}. What you see is what was last
          received; trying again by itself.
        </p>
      )}
    </header>
  );
}

function Progress({ server }: { readonly server: ServerFacts | null }) {
  if (server === null) {
    return (
      <div className="progress">
        <p className="activity">Waiting for the twin-server to answer.</p>
      </div>
    );
  }
  const at = PHASES.findIndex(({ phase }) => phase === server.phase);
  return (
    <div className="progress">
      <ol aria-label="Phases">
        {PHASES.map(({ phase, words }, index) => (
          <li
            key={phase}
            className={index < at ? 'past' : index === at ? 'now' : 'ahead'}
            aria-current={index === at ? 'step' : undefined}
          >
            {words}
          </li>
        ))}
      </ol>
      <div className="doing">
        <p className="activity" aria-live="polite" data-testid="activity">
          {server.activity}
        </p>
        {server.progress !== null && server.phase !== 'finished' && (
          <>
            <progress max={1} value={server.progress} aria-label={`Progress of: ${server.activity}`} />
            <span className="percent">{shareWords(server.progress)}</span>
          </>
        )}
      </div>
    </div>
  );
}
