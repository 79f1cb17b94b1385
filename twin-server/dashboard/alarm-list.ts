import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';

/** One alarm of one site: the transitions that belong together. */
export interface Alarm {
  readonly alarmId: string;
  readonly agent: string;
  /** Null where the list reaches back no further than a later transition. */
  readonly raisedAtMs: number | null;
  /** Null while it is active. */
  readonly clearedAtMs: number | null;
  readonly acknowledged: boolean;
  readonly shelved: boolean;
  /** The raising event, or the earliest known: score, threshold and contributions as they were then. */
  readonly cause: AlarmEvent;
  /** The highest score since it was raised, as far as it was told; null from agents of earlier releases. */
  readonly peakScore: number | null;
  /** Number of the newest transition applied; an older one that comes late changes nothing but the cause. */
  readonly transition: number;
}

export const MAXIMUM_ALARMS = 200;

/** Alarm events in any order, repeats allowed, to alarms, newest first. Pure. */
export function alarmsFrom(events: readonly AlarmEvent[]): readonly Alarm[] {
  return [...events]
    .sort((a, b) => a.atMs - b.atMs || transitionOf(a) - transitionOf(b))
    .reduce(withAlarmEvent, [] as readonly Alarm[]);
}

/** Adds one transition; idempotent. Beyond MAXIMUM_ALARMS the oldest goes, cleared ones first. Pure. */
export function withAlarmEvent(alarms: readonly Alarm[], event: AlarmEvent): readonly Alarm[] {
  const before = alarms.find(({ alarmId, agent }) => alarmId === event.alarmId && agent === event.agent);
  const after = applied(before, event);
  if (after === before) return alarms;
  const list = [after, ...alarms.filter((alarm) => alarm !== before)].sort((a, b) => startMs(b) - startMs(a));
  if (list.length <= MAXIMUM_ALARMS) return list;
  const oldestCleared = list.findLastIndex((alarm) => !isActive(alarm));
  return list.toSpliced(oldestCleared === -1 ? list.length - 1 : oldestCleared, 1);
}

export function isActive(alarm: Alarm): boolean {
  return alarm.clearedAtMs === null;
}

/** The alarm of a site that needs attention now, if there is one: a detector's before one that values do not come. */
export function activeAlarmOf(alarms: readonly Alarm[], agent: string): Alarm | undefined {
  const active = alarms.filter((alarm) => alarm.agent === agent && isActive(alarm));
  return active.find(({ cause }) => cause.communication === undefined) ?? active[0];
}

function applied(before: Alarm | undefined, event: AlarmEvent): Alarm {
  const alarm = moved(before, event);
  const peakScore = Math.max(alarm.peakScore ?? 0, event.peakScore ?? 0);
  return event.peakScore === undefined || peakScore === alarm.peakScore ? alarm : { ...alarm, peakScore };
}

function moved(before: Alarm | undefined, event: AlarmEvent): Alarm {
  const number = transitionOf(event);
  const alarm: Alarm = before ?? {
    alarmId: event.alarmId,
    agent: event.agent,
    raisedAtMs: null,
    clearedAtMs: null,
    acknowledged: false,
    shelved: false,
    cause: event,
    peakScore: null,
    transition: -1,
  };
  const newest = number > alarm.transition;
  const transition = Math.max(number, alarm.transition);
  switch (event.transition) {
    case 'raised':
      return alarm.raisedAtMs === event.atMs ? alarm : { ...alarm, raisedAtMs: event.atMs, cause: event, transition };
    case 'cleared':
      return alarm.clearedAtMs === event.atMs ? alarm : { ...alarm, clearedAtMs: event.atMs, transition };
    case 'acknowledged':
      return alarm.acknowledged ? alarm : { ...alarm, acknowledged: true, transition };
    case 'shelved':
      return newest ? { ...alarm, shelved: true, transition } : alarm;
    case 'unshelved':
      return newest ? { ...alarm, shelved: false, transition } : alarm;
  }
}

function startMs(alarm: Alarm): number {
  return alarm.raisedAtMs ?? alarm.cause.atMs;
}

/** `<agent>:<alarm number>:<transition number>`; 0 where the last part is not a number. */
function transitionOf(event: AlarmEvent): number {
  const number = Number(event.eventId.slice(event.eventId.lastIndexOf(':') + 1));
  return Number.isFinite(number) ? number : 0;
}
