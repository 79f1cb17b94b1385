import type { Tag } from '@twinwatch/core/scada/tag';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import type { AgentView, RoundView, ServerState } from '@twinwatch/core/wire/http';
import type { Telemetry } from '@twinwatch/core/wire/telemetry';

/** A federation of five sites as a twin-server would show it some minutes into a demonstration. Deterministic. */

export const START_MS = Date.UTC(2026, 2, 7, 0, 0);
const INTERVAL_MS = 15 * 60_000;
const MODEL = 'm-000018';

const TAGS: readonly Tag[] = [
  ...['L_T1', 'L_T2', 'L_T3'].map((name) => analog(name, 'm', 0.01)),
  ...['F_PU1', 'F_PU2', 'F_PU3', 'F_PU4', 'F_PU5', 'F_V1'].map((name) => analog(name, 'L/s', 0.1)),
  ...['P_J10', 'P_J14', 'P_J21', 'P_J27', 'P_J30'].map((name) => analog(name, 'm', 0.1)),
  ...['S_PU1', 'S_PU2', 'S_PU3', 'S_PU4', 'S_PU5', 'S_V1'].map(
    (name): Tag => ({ name, unit: '', kind: 'status', resolution: 1 }),
  ),
];

export function demoState(): ServerState {
  return {
    federation: 'demo',
    phase: 'rounds',
    activity: 'Round 19 of 20: collecting updates, 3 of 5 sites have answered',
    progress: 0.92,
    roundsPlanned: 20,
    tags: TAGS,
    agents: ['site-1', 'site-2', 'site-3', 'site-4', 'site-5'].map(agent),
    rounds: Array.from({ length: 19 }, (_, index) => round(index + 1)),
    model: {
      modelVersion: MODEL,
      round: 18,
      hash: '9f2c4e1ab07d5588c1e6f3a9d24b7710e5c0a8842d1f6b93b7aa40c2de915f36',
      bytes: 21_480,
      threshold: 0.62,
      rocAuc: 0.981,
      releasedAtMs: Date.UTC(2026, 10, 24, 11, 58),
    },
    alarms: [
      alarmEvent('site-1', 1, 1, 'raised', -130),
      alarmEvent('site-1', 1, 2, 'cleared', -112),
      alarmEvent('site-3', 1, 1, 'raised', 84),
    ],
    decisions: [],
    refusedMessages: [],
    registry: null,
  };
}

/** Row `index` of a site; site-3 is under attack from row 80 on. */
export function telemetry(agentId: string, index: number): Telemetry {
  const site = Number(agentId.slice(-1));
  const phase = index / 14 + site;
  const attacked = agentId === 'site-3' && index >= 80;
  const wave = (period: number, shift: number) => Math.sin((index + shift * 7 + site * 11) / period);
  const pump = (n: number) => (attacked && n === 2 ? 0 : wave(6 + n, n) > -0.2 ? 1 : 0);
  const value = (tag: Tag): number => {
    const n = Number(tag.name.replace(/\D/g, ''));
    if (tag.name.startsWith('L_')) return attacked && n === 1 ? 4.8 - (index - 80) * 0.03 : 2.6 + n / 3 + wave(11, n);
    if (tag.name === 'F_V1') return 31.5 + 6 * wave(17, 3);
    if (tag.name.startsWith('F_')) return pump(n) * (62 + n * 9 + 4 * wave(5, n));
    if (tag.name.startsWith('P_')) return 41 + n / 4 + 3 * wave(9, n);
    return tag.name === 'S_V1' ? 1 : pump(n);
  };
  const noise = 0.06 + 0.05 * Math.abs(Math.sin(phase * 3.1)) + 0.03 * Math.abs(Math.sin(index * 1.7));
  return {
    atMs: START_MS + index * INTERVAL_MS,
    score: attacked ? Math.min(0.985, 0.4 + (index - 80) * 0.13) : noise,
    values: Object.fromEntries(
      TAGS.map((tag) => [
        tag.name,
        agentId === 'site-4' && tag.name === 'P_J27'
          ? { value: null, quality: 'stale' }
          : { value: value(tag), quality: 'good' },
      ]),
    ),
  };
}

export function alarmEvent(
  agentId: string,
  alarm: number,
  transition: number,
  kind: AlarmEvent['transition'],
  row: number,
): AlarmEvent {
  return {
    eventId: `${agentId}:${alarm}:${transition}`,
    alarmId: `${agentId}:${alarm}`,
    agent: agentId,
    transition: kind,
    atMs: START_MS + row * INTERVAL_MS,
    score: 0.92,
    threshold: 0.62,
    modelVersion: MODEL,
    contributions: [
      { tag: 'S_PU2', share: 0.38, value: 0 },
      { tag: 'F_PU2', share: 0.27, value: 0 },
      { tag: 'L_T1', share: 0.14, value: 4.68 },
      { tag: 'P_J14', share: 0.06, value: 38.2 },
    ],
    latencyMs: 2.4,
  };
}

export function agent(id: string, index: number): AgentView {
  const offline = id === 'site-5';
  return {
    id,
    status: {
      online: !offline,
      connectionId: `c${index}`,
      atMs: Date.UTC(2026, 10, 24, 12, 0),
      softwareVersion: '0.1.0',
      modelVersion: offline ? 'm-000012' : MODEL,
      health: {
        rowsAcquired: 1_204 + index * 13,
        rowsMissing: id === 'site-4' ? 3 : 0,
        badSamples: id === 'site-4' ? 41 : 0,
        duplicateReadings: 3,
        lateReadings: 1,
        droppedTelemetry: 0,
        outboxEvents: offline ? 6 : 0,
        rssBytes: 118e6 + index * 1.3e6,
        sensorToAlarmMsP50: 1.8,
        sensorToAlarmMsP99: 6.2 + index,
        sensorToAlarmCount: 2_000,
        deviceFaults: id === 'site-4' ? { PLC3: 'MODBUS_TIMEOUT, no answer within 1000 ms' } : {},
      },
    },
    eligibleRows: 892 + index * 31,
    lastRound: offline ? 12 : 18,
    rejectedUpdates: id === 'site-2' ? 1 : 0,
    quarantine: null,
    lastTelemetry: null,
  };
}

export function round(number: number): RoundView {
  const asked = ['site-1', 'site-2', 'site-3', 'site-4', 'site-5'];
  const open = number === 19;
  return {
    round: number,
    phase: open ? 'collecting' : 'committed',
    method: 'cwa',
    asked,
    accepted: open ? asked.slice(0, 3) : number > 12 ? asked.slice(0, 4) : number === 9 ? ['site-1', 'site-3'] : asked,
    rejected: number === 17 ? [{ agent: 'site-2', verdict: 'stale-round', detail: 'sent for round 16' }] : [],
    validation: open
      ? null
      : {
          loss: 0.1 + 0.5 / number,
          rocAuc: 0.985 - 0.4 / (number + 1) - (number % 2) * 0.008,
          prAuc: 0.955 - 0.6 / (number + 0.6) - (number % 2) * 0.015,
          attackShare: 0.091,
        },
    bytesUp: open ? 14_300 : 23_900 - (number > 12 ? 4_700 : 0),
    bytesDown: 84_200 + (number % 2) * 20_000,
    ...(open
      ? {}
      : {
          traffic: Object.fromEntries(
            asked.map((agent) => [agent, { up: 4_800, down: 17_000 + (number % 2) * 4_000 }]),
          ),
        }),
    startedAtMs: Date.UTC(2026, 10, 24, 11, 50) + number * 4_000,
    milliseconds: open ? null : 2_300 + (number % 4) * 340,
  };
}

function analog(name: string, unit: string, resolution: number): Tag {
  return { name, unit, kind: 'analog', resolution };
}
