import type { Tag } from '@twinwatch/core/scada/tag';
import type { DecisionView } from '@twinwatch/core/wire/http';
import { Fragment, type ReactNode, useState } from 'react';
import type { Alarm } from '../alarm-list.js';
import { dateTimeWords, decisionWords, durationWords, isoTime, MISSING, silentWords, spanWords } from '../wording.js';
import { AlarmCause } from './alarm-cause.js';
import { ScrollRegion } from './scroll-region.js';

interface PastAlarmsProps {
  /** Newest first. */
  readonly alarms: readonly Alarm[];
  readonly tags: readonly Tag[];
  readonly decisions: readonly DecisionView[];
  readonly deciding: (alarm: Alarm) => ReactNode;
  readonly onSelect: (agent: string) => void;
}

/** Alarms that are over: one line each, and on demand all that is known of one, for whoever comes later. */
export function PastAlarms({ alarms, tags, decisions, deciding, onSelect }: PastAlarmsProps) {
  const [opened, setOpened] = useState<string | null>(null);
  if (alarms.length === 0) return null;
  return (
    <ScrollRegion className={opened === null ? 'history' : 'history opened'} label="Cleared alarms">
      <table>
        <caption className="unseen">Cleared alarms</caption>
        <thead>
          <tr>
            <th scope="col">Cleared</th>
            <th scope="col">From, to</th>
            <th scope="col">Lasted</th>
            <th scope="col" className="wide">
              Mostly
            </th>
          </tr>
        </thead>
        <tbody>
          {alarms.map((alarm) => {
            const key = `${alarm.agent} ${alarm.alarmId}`;
            const isOpen = key === opened;
            return (
              <Fragment key={key}>
                <tr data-alarm={alarm.alarmId}>
                  <th scope="row">
                    <button type="button" onClick={() => onSelect(alarm.agent)}>
                      {alarm.agent}
                    </button>
                  </th>
                  <td>{spanWords(alarm.raisedAtMs, alarm.clearedAtMs)}</td>
                  <td>{lasted(alarm)}</td>
                  <td className="tags wide">{topTags(alarm, 2)}</td>
                </tr>
                <tr className="deciding">
                  <td colSpan={4}>
                    <button
                      type="button"
                      className="more"
                      aria-expanded={isOpen}
                      aria-label={`Details of the alarm of ${alarm.agent}, ${spanWords(alarm.raisedAtMs, alarm.clearedAtMs)}`}
                      onClick={() => setOpened(isOpen ? null : key)}
                    >
                      {isOpen ? 'Less' : 'Details'}
                    </button>
                    {isOpen && <Details alarm={alarm} tags={tags} decisions={decisions} />}
                    {deciding(alarm)}
                  </td>
                </tr>
              </Fragment>
            );
          })}
        </tbody>
      </table>
    </ScrollRegion>
  );
}

function Details({ alarm, tags, decisions }: Pick<PastAlarmsProps, 'tags' | 'decisions'> & { readonly alarm: Alarm }) {
  const made = decisions.filter(({ alarmId, agent }) => alarmId === alarm.alarmId && agent === alarm.agent);
  return (
    <div className="details" data-testid="alarm-details">
      <dl className="facts">
        <PlantTime name="raised" atMs={alarm.raisedAtMs} />
        <PlantTime name="cleared" atMs={alarm.clearedAtMs} />
      </dl>
      <AlarmCause alarm={alarm} tags={tags} />
      <ul aria-label="Who decided what about it">
        {made.map((decision) => (
          <li key={decision.commandId}>
            <time dateTime={isoTime(decision.atMs)}>{dateTimeWords(decision.atMs)}</time> {decisionWords(decision)}
          </li>
        ))}
        {made.length === 0 && (
          <li>{alarm.acknowledged ? 'Acknowledged; by whom is not known here any more' : 'Nobody acknowledged it'}</li>
        )}
      </ul>
    </div>
  );
}

function PlantTime({ name, atMs }: { readonly name: string; readonly atMs: number | null }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        <time dateTime={isoTime(atMs)}>{dateTimeWords(atMs)}</time>
      </dd>
    </div>
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
