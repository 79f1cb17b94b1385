import type { AgentView, ModelView, ServerPhase } from '@twinwatch/core/wire/http';
import type { AgentHealth } from '@twinwatch/core/wire/status';
import type { Telemetry } from '@twinwatch/core/wire/telemetry';
import { type Alarm, activeAlarmOf } from '../alarm-list.js';
import type { PageState } from '../page-state.js';
import { bytesWords, countWords, durationWords, MISSING, quarantineWords, scoreWords } from '../wording.js';
import { AlarmMark, Empty, WarningMark } from './marks.js';
import { ScrollRegion } from './scroll-region.js';
import { Sparkline } from './sparkline.js';

/** So that the first values do not look like a long time. */
const LEAST_SLOTS = 48;

interface FleetProps {
  readonly agents: readonly AgentView[];
  readonly history: PageState['history'];
  /** Active ones. */
  readonly alarms: readonly Alarm[];
  readonly model: ModelView | null;
  readonly selected: string | null;
  readonly onSelect: (agent: string) => void;
  /** Null before the server has spoken. */
  readonly phase: ServerPhase | null;
}

/** Every site in one table: is it there, does it run the current detector, is it well. */
export function Fleet({ agents, history, alarms, model, selected, onSelect, phase }: FleetProps) {
  const online = agents.filter(({ status }) => status?.online).length;
  return (
    <section className="panel fleet" aria-labelledby="fleet-title">
      <h2 id="fleet-title">
        Fleet <small>{agents.length > 0 && `${online} of ${agents.length} online`}</small>
      </h2>
      {agents.length === 0 ? (
        <Empty title="No site has joined yet.">
          {phase === 'simulating-twin' ? (
            'The server listens to sites once its twin is ready; those that run already appear then.'
          ) : (
            <>
              Start an agent with <code>twinwatch agent --config agent.yaml</code> that names this federation and its
              broker; it appears here when it says hello.
            </>
          )}
        </Empty>
      ) : (
        <ScrollRegion label="Table of sites">
          <table>
            <thead>
              <tr>
                <th scope="col">Site</th>
                <th scope="col">State</th>
                <th scope="col">Score</th>
                <th scope="col">Model</th>
                <th scope="col" className="number wide" title="Rows that may be trained on">
                  Rows
                </th>
                <th scope="col" className="number wide" title="The last one that its update counted in">
                  Round
                </th>
                <th scope="col" className="number wide" title="Telemetry dropped because a queue was full">
                  Dropped
                </th>
                <th scope="col" className="number wide" title="Resident memory of the agent">
                  Memory
                </th>
                <th scope="col" className="number wide" title="From row received to alarm decided, 99th percentile">
                  Latency
                </th>
              </tr>
            </thead>
            <tbody>
              {agents.map((agent) => (
                <Site
                  key={agent.id}
                  agent={agent}
                  history={history[agent.id] ?? []}
                  alarm={activeAlarmOf(alarms, agent.id)}
                  model={model}
                  selected={agent.id === selected}
                  onSelect={onSelect}
                />
              ))}
            </tbody>
          </table>
        </ScrollRegion>
      )}
    </section>
  );
}

interface SiteProps {
  readonly agent: AgentView;
  readonly history: readonly Telemetry[];
  readonly alarm: Alarm | undefined;
  readonly model: ModelView | null;
  readonly selected: boolean;
  readonly onSelect: (agent: string) => void;
}

function Site({ agent, history, alarm, model, selected, onSelect }: SiteProps) {
  const health = agent.status?.health ?? null;
  const version = agent.status?.modelVersion ?? null;
  const current = model !== null && version === model.modelVersion;
  return (
    <tr className={selected ? 'selected' : ''} data-agent={agent.id}>
      <th scope="row">
        <button type="button" aria-pressed={selected} onClick={() => onSelect(agent.id)}>
          {agent.id}
        </button>
      </th>
      <td>
        <Standing agent={agent} health={health} alarm={alarm} />
      </td>
      <td className="score">
        <Sparkline
          values={history.map(({ score }) => score)}
          slots={Math.max(LEAST_SLOTS, history.length)}
          leastSpan={1}
          range={[0, 1]}
          mark={model?.threshold ?? null}
        />
        <span>{scoreWords(history.at(-1)?.score)}</span>
      </td>
      <td className="version">
        {version ?? MISSING}
        {model !== null && !current && (
          <span className="attention" title={`The current model is ${model.modelVersion}`}>
            {version === null ? 'none yet' : 'behind'}
          </span>
        )}
      </td>
      <td className="number wide">{countWords(agent.eligibleRows)}</td>
      <td className="number wide">
        {agent.lastRound ?? MISSING}
        {agent.rejectedUpdates > 0 && (
          <span className="attention" title="Updates the server rejected">
            {agent.rejectedUpdates} rejected
          </span>
        )}
      </td>
      <td className={`number wide ${health !== null && health.droppedTelemetry > 0 ? 'warn' : ''}`}>
        {countWords(health?.droppedTelemetry)}
      </td>
      <td className="number wide">{bytesWords(health?.rssBytes)}</td>
      <td className="number wide">{durationWords(health?.sensorToAlarmMsP99)}</td>
    </tr>
  );
}

function Standing({
  agent,
  health,
  alarm,
}: {
  readonly agent: AgentView;
  readonly health: AgentHealth | null;
  readonly alarm: Alarm | undefined;
}) {
  const faults = Object.keys(health?.deviceFaults ?? {});
  if (agent.status === null) return <span className="muted">not heard yet</span>;
  const isWell = agent.status.online && faults.length === 0 && agent.quarantine === null && agent.unfit === undefined;
  return (
    <>
      {alarm !== undefined && (
        <span className="tag alarm">
          <AlarmMark /> {alarm.cause.communication === undefined ? 'Alarm' : 'No values'}
        </span>
      )}
      {!agent.status.online && (
        <span className="tag warn">
          <WarningMark /> Offline
        </span>
      )}
      {agent.quarantine !== null && (
        <span className="tag warn" title={quarantineWords(agent.quarantine)}>
          <WarningMark /> Quarantine
        </span>
      )}
      {agent.unfit !== undefined && (
        <span className="tag warn" title={agent.unfit}>
          <WarningMark /> Takes no part
        </span>
      )}
      {faults.length > 0 && (
        <span
          className="tag warn"
          title={faults.map((device) => `${device}: ${health!.deviceFaults[device]}`).join('\n')}
        >
          <WarningMark /> {faults.length === 1 ? `${faults[0]} fault` : `${faults.length} faults`}
        </span>
      )}
      {alarm === undefined && isWell && <span className="muted">online</span>}
    </>
  );
}
