import { join } from 'node:path';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import type { ModelView, RoundView, ServerPhase } from '@twinwatch/core/wire/http';
import type { SeenAlarm, StoryOptions, StoryState } from './story.js';

/** The demonstration's sentences, and its figures in the end. */

const HOUR_MS = 3_600_000;

/** '2 h 15 min' of plant time. */
export function plantDuration(ms: number): string {
  const minutes = Math.round(ms / 60_000);
  const hours = Math.floor(minutes / 60);
  if (hours === 0) return `${minutes} min`;
  return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
}

const kilobytes = (bytes: number) => `${(bytes / 1000).toFixed(1)} kB`;
const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
const plantTime = (ms: number) => new Date(ms).toISOString().slice(0, 16).replace('T', ' ');

const PHASES: Readonly<Record<ServerPhase, string>> = {
  'simulating-twin': 'the twin is simulated, with attacks of all kinds: the labelled rows that the sites do not have',
  'waiting-for-agents': 'the twin is ready; waiting for agents with enough rows',
  calibrating: 'agents send the moments of their features; the scaling is merged and frozen',
  rounds: 'federated rounds begin: parameters travel, rows stay where they are',
  finished: 'learning is finished',
};

export const serverPhase = (phase: ServerPhase): string => PHASES[phase];

export const resumed = (committed: number, planned: number): string =>
  `going on where an earlier start ended: ${committed} of ${planned} rounds are committed`;

export function round(view: RoundView, planned: number): string {
  const head = `round ${view.round}/${planned} ${view.method}`;
  if (view.phase === 'failed')
    return `${head}: failed, ${view.accepted.length} of ${view.asked.length} agents answered`;
  const auc = view.validation === null ? '' : `, ${area(view.validation)} on the twin's validation episodes`;
  const rejected = view.rejected.length === 0 ? '' : `, ${view.rejected.length} rejected`;
  return `${head}: ${view.accepted.length} of ${view.asked.length} agents${rejected}${auc}; ${kilobytes(view.bytesUp)} up, ${kilobytes(view.bytesDown)} down`;
}

/** The measure by which the best round is chosen, beside what guessing gets. */
function area({ prAuc, attackShare }: { readonly prAuc: number; readonly attackShare?: number }): string {
  return `PR AUC ${prAuc.toFixed(3)}${attackShare === undefined ? '' : ` (guessing: ${attackShare.toFixed(3)})`}`;
}

export function model({ modelVersion, bytes, round, threshold, provenance }: ModelView): string {
  const quality = provenance === undefined ? '' : `, ${area(provenance)}`;
  return `model ${modelVersion} released as ONNX (${kilobytes(bytes)}, the best round: ${round}${quality}, threshold ${threshold.toFixed(3)})`;
}

export const accepted = (agent: string, version: string): string => `${agent} accepted model ${version}`;

export function watch({ sites, attack: name, attackedSite }: StoryOptions): string {
  const next = name === null ? 'nobody will be attacked' : `${attackedSite} will be attacked with ${name}`;
  return `${sites.length} agents are on watch; the plants slow down, and ${next}`;
}

export function attack(event: { site: string; name: string; state: 'started' | 'ended'; atMs: number }): string {
  return event.state === 'started'
    ? `ATTACK ${event.name} on ${event.site} begins at ${plantTime(event.atMs)} plant time`
    : `attack ${event.name} on ${event.site} is over at ${plantTime(event.atMs)}`;
}

export function raised(alarm: SeenAlarm, { attackStarted }: StoryState, expected: boolean): string {
  const tags = alarm.raised.contributions
    .slice(0, 3)
    .map(({ tag, share }) => `${tag} ${(share * 100).toFixed(0)} %`)
    .join(', ');
  const head = `ALARM from ${alarm.agent}: score ${alarm.raised.score.toFixed(3)} (threshold ${alarm.raised.threshold.toFixed(3)}), mostly ${tags}`;
  if (!expected || attackStarted === null) return `${head}; no attack explains it`;
  return `${head}; ${plantDuration(alarm.raised.atMs - attackStarted.atMs)} of plant time after the attack began`;
}

export function cleared(alarm: AlarmEvent, seen: SeenAlarm): string {
  return `alarm of ${alarm.agent} cleared after ${plantDuration(alarm.atMs - seen.raised.atMs)} of plant time`;
}

export const crashed = (name: string, how: string): string =>
  `${name} ended unexpectedly (${how}); it is started again`;

export function stuck(state: StoryState, options: StoryOptions): string {
  const missing = options.sites.filter((site) => state.agents.get(site)?.status?.online !== true);
  const offline = missing.length === 0 ? '' : `; offline: ${missing.join(', ')}`;
  return `nothing went on while ${state.phase} (server: ${state.serverPhase ?? 'not reached'}, ${state.activity || 'no activity'}${offline})`;
}

/** What is going on, in one line. */
export function liveLine(state: StoryState, options: StoryOptions): string {
  const rows = options.sites.map((site) => state.plant[site]?.rows ?? 0);
  const slowest = Math.min(...rows);
  const online = options.sites.filter((site) => state.agents.get(site)?.status?.online === true).length;
  // The server listens to agents once its twin is there.
  const here = [null, 'simulating-twin'].includes(state.serverPhase) ? '' : `, ${online} agents online`;
  if (state.phase === 'learning' && slowest < options.commissioningRows)
    return `commissioning: ${plantDays(slowest, options)} of ${plantDays(options.commissioningRows, options)} days of every plant read${here}; server: ${state.activity || 'starting'}`;
  if (state.phase === 'learning') return `learning: ${state.activity || 'starting'}`;
  const now = state.plant[options.attackedSite]?.timeMs;
  return `${state.phase}: ${options.attackedSite} is at ${now === undefined ? '?' : plantTime(now)}`;
}

/** What is left when the demonstration has ended, and how to go on. */
export function stopped(
  run: { readonly processCount: number; readonly dataDir: string },
  { rounds, roundsPlanned, model: released }: StoryState,
): string {
  const committed = [...rounds.values()].filter(({ phase }) => phase === 'committed').length;
  const learned =
    committed === 0
      ? 'nothing was learned yet'
      : `${committed} of ${roundsPlanned} rounds are committed${released === null ? '' : `, model ${released.modelVersion} is released`}`;
  return [
    `all ${run.processCount} processes have ended; ${learned}`,
    `  data: ${run.dataDir}`,
    `  logs: ${join(run.dataDir, 'logs')}, one for each process`,
    '  go on from here: the same command again; to start afresh, delete the data first',
  ].join('\n');
}

const plantDays = (rows: number, { intervalMs }: StoryOptions) => ((rows * intervalMs) / (24 * HOUR_MS)).toFixed(1);

/** The figures at the end: name and value. */
export function figures(state: StoryState, options: StoryOptions, nowMs: number): [string, string][] {
  const rounds = [...state.rounds.values()].filter(({ phase }) => phase === 'committed');
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
  const first = [...state.alarms.values()].find((alarm) => alarm.agent === options.attackedSite);
  const health = [...state.agents.values()].flatMap(({ status }) => (status?.health ? [status.health] : []));
  const worst = (values: (number | null)[]) => Math.max(...values.map((value) => value ?? Number.NaN));
  const figure = (value: number, unit: string) =>
    Number.isFinite(value) ? `${value.toFixed(1)} ${unit}` : 'not measured';
  const list: [string, string][] = [
    [
      'rounds',
      `${rounds.length} of ${state.roundsPlanned}, ${seconds(mean(rounds.map((r) => r.milliseconds ?? 0)))} each`,
    ],
    [
      'bytes per round',
      `${kilobytes(mean(rounds.map((r) => r.bytesUp)))} up, ${kilobytes(mean(rounds.map((r) => r.bytesDown)))} down, all agents together`,
    ],
  ];
  if (options.attack !== null && first !== undefined && state.attackStarted !== null)
    list.push(
      ['first alarm', `${seconds(first.raisedWallMs - state.startedMs)} after the start`],
      [
        'delay',
        `${plantDuration(first.raised.atMs - state.attackStarted.atMs)} of plant time, ${seconds(first.raisedWallMs - state.attackStarted.wallMs)}`,
      ],
    );
  list.push(
    ['memory of an agent', figure(worst(health.map(({ rssBytes }) => rssBytes)) / 1e6, 'MB at most')],
    [
      'sensor to alarm',
      `p50 ${figure(worst(health.map((h) => h.sensorToAlarmMsP50)), 'ms')}, p99 ${figure(worst(health.map((h) => h.sensorToAlarmMsP99)), 'ms')}`,
    ],
    ['restarted processes', String(state.crashes)],
    ['whole story', seconds(nowMs - state.startedMs)],
  );
  return list;
}
