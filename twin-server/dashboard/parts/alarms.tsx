import type { Tag } from '@twinwatch/core/scada/tag';
import type { DecisionView, SessionView } from '@twinwatch/core/wire/http';
import { type ReactNode, useState } from 'react';
import { type Alarm, isActive } from '../alarm-list.js';
import { dateTimeWords, isoTime } from '../wording.js';
import { AlarmCause } from './alarm-cause.js';
import { Decisions, NAME_FIELD } from './decisions.js';
import { AlarmMark, Empty } from './marks.js';
import { PastAlarms } from './past-alarms.js';

interface AlarmsProps {
  readonly alarms: readonly Alarm[];
  readonly tags: readonly Tag[];
  readonly hasModel: boolean;
  readonly decisions: readonly DecisionView[];
  /** Who is logged in; null where the server has no operators, and a name is asked for. */
  readonly operator: SessionView['operator'];
  readonly onDecided: (decision: DecisionView) => void;
  readonly onSelect: (agent: string) => void;
}

const NAME_KEY = 'twinwatch.name';

/** What needs attention on top, then what was. */
export function Alarms({ alarms, tags, hasModel, decisions, operator, onDecided, onSelect }: AlarmsProps) {
  const [given, setGiven] = useState(() => localStorage.getItem(NAME_KEY) ?? '');
  const by = operator?.name ?? given;
  const deciding = (alarm: Alarm) =>
    operator?.role === 'viewer' ? null : (
      <Decisions alarm={alarm} decisions={decisions} by={by} onDecided={onDecided} />
    );
  const active = alarms.filter(isActive);
  const past = alarms.filter((alarm) => !isActive(alarm));
  return (
    <section className="panel alarms" aria-labelledby="alarms-title">
      <h2 id="alarms-title">
        Alarms <small>{alarms.length > 0 && `${active.length} active, ${past.length} cleared`}</small>
      </h2>
      {alarms.length > 0 && operator === null && (
        <label className="decide-as">
          Decide as{' '}
          <input
            id={NAME_FIELD}
            value={given}
            maxLength={64}
            placeholder="your name"
            autoComplete="name"
            onChange={({ target }) => {
              setGiven(target.value);
              localStorage.setItem(NAME_KEY, target.value);
            }}
          />
        </label>
      )}
      {alarms.length === 0 && (
        <Empty title="No alarm so far.">
          {hasModel
            ? 'One is raised when a site’s score stays above the threshold.'
            : 'Sites watch from the moment they run the first detector.'}
        </Empty>
      )}
      {active.length > 0 && (
        <ul className="active" aria-label="Active alarms">
          {active.map((alarm) => (
            <Active key={`${alarm.agent} ${alarm.alarmId}`} alarm={alarm} tags={tags} onSelect={onSelect}>
              {deciding(alarm)}
            </Active>
          ))}
        </ul>
      )}
      <PastAlarms alarms={past} tags={tags} decisions={decisions} deciding={deciding} onSelect={onSelect} />
    </section>
  );
}

function Active({
  alarm,
  tags,
  onSelect,
  children,
}: {
  readonly children: ReactNode;
  readonly alarm: Alarm;
  readonly tags: readonly Tag[];
  readonly onSelect: (agent: string) => void;
}) {
  const { cause } = alarm;
  return (
    <li className={alarm.shelved ? 'shelved' : ''} data-alarm={alarm.alarmId}>
      <h3>
        <AlarmMark />
        <button type="button" onClick={() => onSelect(alarm.agent)}>
          {alarm.agent}
        </button>
        {cause.communication !== undefined && <span className="tag">no values</span>}
        {alarm.acknowledged && <span className="tag">acknowledged</span>}
        {alarm.shelved && <span className="tag">shelved</span>}
        <span className="since">
          raised <time dateTime={isoTime(alarm.raisedAtMs)}>{dateTimeWords(alarm.raisedAtMs)}</time>
        </span>
      </h3>
      <AlarmCause alarm={alarm} tags={tags} />
      {children}
    </li>
  );
}
