import type { Tag } from '@twinwatch/core/scada/tag';
import type { DecisionView, SessionView } from '@twinwatch/core/wire/http';
import type { AlarmEvent, SilentTags } from '@twinwatch/core/wire/messages';
import { Fragment, type ReactNode, useState } from 'react';
import { type Alarm, isActive } from '../alarm-list.js';
import {
  dateTimeWords,
  durationWords,
  MISSING,
  scoreWords,
  shareWords,
  silentWords,
  spanWords,
  valueWords,
} from '../wording.js';
import { Decisions, NAME_FIELD } from './decisions.js';
import { AlarmMark, Empty } from './marks.js';

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
const CONTRIBUTIONS_SHOWN = 5;
/** A full bar is at least this share, so that many small shares do not look like large ones. */
const LEAST_FULL_BAR = 0.4;

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
      {past.length > 0 && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
        <section className="scroll history" tabIndex={0} aria-label="Cleared alarms">
          <table>
            <caption className="unseen">Cleared alarms</caption>
            <thead>
              <tr>
                <th scope="col">Cleared</th>
                <th scope="col">From, to</th>
                <th scope="col">Lasted</th>
                <th scope="col">Mostly</th>
              </tr>
            </thead>
            <tbody>
              {past.map((alarm) => (
                <Fragment key={`${alarm.agent} ${alarm.alarmId}`}>
                  <tr data-alarm={alarm.alarmId}>
                    <th scope="row">
                      <button type="button" onClick={() => onSelect(alarm.agent)}>
                        {alarm.agent}
                      </button>
                    </th>
                    <td>{spanWords(alarm.raisedAtMs, alarm.clearedAtMs)}</td>
                    <td>{lasted(alarm)}</td>
                    <td className="tags">{topTags(alarm, 2)}</td>
                  </tr>
                  <tr className="deciding">
                    <td colSpan={4}>{deciding(alarm)}</td>
                  </tr>
                </Fragment>
              ))}
            </tbody>
          </table>
        </section>
      )}
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
          raised <time dateTime={iso(alarm.raisedAtMs)}>{dateTimeWords(alarm.raisedAtMs)}</time>
        </span>
      </h3>
      {cause.communication === undefined ? <Judged cause={cause} tags={tags} /> : <Silent {...cause.communication} />}
      {children}
    </li>
  );
}

/** Of an alarm that a detector raised: how sure it was, and what it looked at. */
function Judged({ cause, tags }: { readonly cause: AlarmEvent; readonly tags: readonly Tag[] }) {
  const shown = cause.contributions.slice(0, CONTRIBUTIONS_SHOWN);
  const full = Math.max(LEAST_FULL_BAR, ...shown.map(({ share }) => share));
  return (
    <>
      <p className="when">
        Score {scoreWords(cause.score)} over the threshold {scoreWords(cause.threshold)}
      </p>
      <table className="contributions">
        <caption>Tags that moved the score most</caption>
        <thead className="unseen">
          <tr>
            <th scope="col">Tag</th>
            <th scope="col">Share</th>
            <th scope="col">Value</th>
          </tr>
        </thead>
        <tbody>
          {shown.map(({ tag, share, value }) => (
            <tr key={tag}>
              <th scope="row">{tag}</th>
              <td>
                <span className="bar" aria-hidden="true">
                  <span style={{ width: `${Math.max(1, (Math.max(0, share) / full) * 100)}%` }} />
                </span>
                <span className="share">{shareWords(share)}</span>
              </td>
              <td className="number">
                {valueWords(value)} {tags.find(({ name }) => name === tag)?.unit}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <p className="fine">
        Decided {durationWords(cause.latencyMs)} after the row came in, by {cause.modelVersion}
      </p>
    </>
  );
}

/** Of an alarm that values do not come: which, since when, and why; nobody has judged anything. */
function Silent({ tags, devices = [], sinceMs, reason }: SilentTags) {
  return (
    <>
      <p className="when">
        {silentWords({ tags, devices })}
        {sinceMs !== undefined && (
          <>
            {' '}
            since <time dateTime={iso(sinceMs)}>{dateTimeWords(sinceMs)}</time>
          </>
        )}
      </p>
      {reason !== '' && <p className="reason">{reason}</p>}
      {tags.length > 0 && (
        <ul className="silent-tags" aria-label="Tags without a good value">
          {tags.map((tag) => (
            <li key={tag}>{tag}</li>
          ))}
        </ul>
      )}
      <p className="fine">
        Not a detection: the detector abstains until the values are back; the alarm then clears by itself
      </p>
    </>
  );
}

function lasted(alarm: Alarm): string {
  if (alarm.raisedAtMs === null || alarm.clearedAtMs === null) return MISSING;
  return durationWords(alarm.clearedAtMs - alarm.raisedAtMs);
}

function topTags(alarm: Alarm, count: number): string {
  if (alarm.cause.communication !== undefined) return silentWords(alarm.cause.communication);
  const names = alarm.cause.contributions.slice(0, count).map(({ tag }) => tag);
  return names.length === 0 ? MISSING : names.join(', ');
}

function iso(ms: number | null): string | undefined {
  return ms === null ? undefined : new Date(ms).toISOString();
}
