import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import type { AgentView, ModelView, RoundView, ServerPhase } from '@twinwatch/core/wire/http';
import type { SiteProgress } from '../plant/plant-messages.js';
import type { ServerEvent } from '../processes/server-events.js';
import * as wording from './wording.js';

/**
 * What the demonstration tells and does, as a pure state machine: (state, event) → (state, effects). It drives nothing but the
 * attack; everything else it sees happen. Plant time is source time, wall time is a monotonic clock's.
 */

export interface StoryOptions {
  readonly sites: readonly string[];
  readonly attackedSite: string;
  /** Null for a demonstration of silence. */
  readonly attack: string | null;
  readonly commissioningRows: number;
  /** Plant time between rows. */
  readonly intervalMs: number;
}

export type StoryEvent =
  | { readonly kind: 'server'; readonly event: ServerEvent }
  | { readonly kind: 'plant'; readonly sites: Readonly<Record<string, SiteProgress>> }
  | {
      readonly kind: 'attack';
      readonly site: string;
      readonly name: string;
      readonly state: 'started' | 'ended';
      readonly atMs: number;
    }
  | { readonly kind: 'crashed'; readonly name: string; readonly how: string }
  | { readonly kind: 'tick' };

export type StoryEffect =
  | { readonly kind: 'say'; readonly text: string }
  | { readonly kind: 'start-attack'; readonly site: string; readonly name: string }
  | { readonly kind: 'finish' };

type StoryPhase = 'learning' | 'accepting' | 'watching' | 'attacking' | 'clearing' | 'done';

/** An alarm that was raised during the watch. */
export interface SeenAlarm {
  readonly alarmId: string;
  readonly agent: string;
  readonly raised: AlarmEvent;
  readonly raisedWallMs: number;
  readonly clearedAtMs: number | null;
}

export interface StoryState {
  readonly phase: StoryPhase;
  readonly phaseSinceMs: number;
  readonly startedMs: number;
  readonly serverPhase: ServerPhase | null;
  readonly activity: string;
  readonly roundsPlanned: number;
  readonly agents: ReadonlyMap<string, AgentView>;
  readonly rounds: ReadonlyMap<number, RoundView>;
  readonly model: ModelView | null;
  readonly plant: Readonly<Record<string, SiteProgress>>;
  /** Plant time of each site when the watch began: alarms before that are an earlier run's. */
  readonly watchFrom: Readonly<Record<string, SiteProgress>>;
  /** Wall time at which the plant was last asked to start the attack; null before. */
  readonly attackAskedMs: number | null;
  readonly attackStarted: { readonly atMs: number; readonly wallMs: number } | null;
  readonly attackEnded: { readonly atMs: number } | null;
  readonly alarms: ReadonlyMap<string, SeenAlarm>;
  readonly crashes: number;
  /** Why it ended otherwise than it should; empty where all went well. */
  readonly failures: readonly string[];
}

/** Rows of quiet watch before the attack, and after the alarm has cleared. */
const SETTLE_ROWS = 24;
/** Rows of quiet watch where there is no attack. */
const QUIET_ROWS = 192;
/** Rows after the attack's end by which its alarm must have been raised and cleared: the plant itself needs a day to recover. */
const CLEARING_ROWS = 192;
const ASK_AGAIN_MS = 3_000;
const LONGEST_MS: Readonly<Record<Exclude<StoryPhase, 'done'>, number>> = {
  learning: 600_000,
  accepting: 90_000,
  watching: 300_000,
  attacking: 300_000,
  clearing: 300_000,
};

export function startStory(nowMs: number): StoryState {
  return {
    phase: 'learning',
    phaseSinceMs: nowMs,
    startedMs: nowMs,
    serverPhase: null,
    activity: '',
    roundsPlanned: 0,
    agents: new Map(),
    rounds: new Map(),
    model: null,
    plant: {},
    watchFrom: {},
    attackAskedMs: null,
    attackStarted: null,
    attackEnded: null,
    alarms: new Map(),
    crashes: 0,
    failures: [],
  };
}

export function tell(
  options: StoryOptions,
  state: StoryState,
  event: StoryEvent,
  nowMs: number,
): { state: StoryState; effects: StoryEffect[] } {
  // After its end only what happens to the processes is told: people kill them to see what comes of it.
  if (state.phase === 'done') return event.kind === 'crashed' ? hear(options, state, event, nowMs) : quietly(state);
  const heard = hear(options, state, event, nowMs);
  const moved = move(options, heard.state, nowMs);
  return { state: moved.state, effects: [...heard.effects, ...moved.effects] };
}

type Step = { state: StoryState; effects: StoryEffect[] };

const say = (text: string): StoryEffect => ({ kind: 'say', text });
const quietly = (state: StoryState): Step => ({ state, effects: [] });

function hear(options: StoryOptions, state: StoryState, event: StoryEvent, nowMs: number): Step {
  switch (event.kind) {
    case 'server':
      return hearServer(options, state, event.event, nowMs);
    case 'plant':
      return quietly({ ...state, plant: { ...state.plant, ...event.sites } });
    case 'attack': {
      if (event.site !== options.attackedSite || event.name !== options.attack || state.attackAskedMs === null)
        return quietly(state);
      const effects = [say(wording.attack(event))];
      if (event.state === 'ended') return { state: { ...state, attackEnded: { atMs: event.atMs } }, effects };
      return { state: { ...state, attackStarted: { atMs: event.atMs, wallMs: nowMs }, attackEnded: null }, effects };
    }
    case 'crashed':
      return {
        state: { ...state, crashes: state.crashes + 1 },
        effects: [say(wording.crashed(event.name, event.how))],
      };
    case 'tick':
      return quietly(state);
  }
}

function hearServer(options: StoryOptions, state: StoryState, event: ServerEvent, nowMs: number): Step {
  switch (event.kind) {
    case 'state': {
      // The stream starts anew after every restart of the server: what is known already is not told again.
      const { phase, activity, roundsPlanned, agents, rounds, model, alarms } = event.data;
      const first = state.serverPhase === null;
      const committed = rounds.filter((round) => round.phase === 'committed');
      let step: Step = {
        state: { ...state, serverPhase: phase, activity, roundsPlanned },
        effects: first && committed.length > 0 ? [say(wording.resumed(committed.length, roundsPlanned))] : [],
      };
      // Rounds of an earlier start are not told one by one.
      if (first) step = quietlyKnow(step, committed);
      const pieces: ServerEvent[] = [
        ...agents.map((data) => ({ kind: 'agent', data }) as const),
        ...rounds.map((data) => ({ kind: 'round', data }) as const),
        ...(model === null ? [] : [{ kind: 'model', data: model } as const]),
        ...alarms.map((data) => ({ kind: 'alarm', data }) as const),
      ];
      for (const piece of pieces) {
        const next = hearServer(options, step.state, piece, nowMs);
        step = { state: next.state, effects: [...step.effects, ...next.effects] };
      }
      return step;
    }
    case 'phase': {
      const effects = event.data.phase === state.serverPhase ? [] : [say(wording.serverPhase(event.data.phase))];
      return { state: { ...state, serverPhase: event.data.phase, activity: event.data.activity }, effects };
    }
    case 'agent':
      return hearAgent(state, event.data);
    case 'round':
      return hearRound(state, event.data);
    case 'model': {
      const known = state.model?.modelVersion === event.data.modelVersion;
      return { state: { ...state, model: event.data }, effects: known ? [] : [say(wording.model(event.data))] };
    }
    case 'alarm':
      return hearAlarm(options, state, event.data, nowMs);
    case 'telemetry':
    case 'history':
    case 'registry':
    case 'refused':
    case 'certificates':
    case 'decision':
      return quietly(state);
  }
}

function quietlyKnow(step: Step, rounds: readonly RoundView[]): Step {
  const known = new Map([...step.state.rounds, ...rounds.map((round) => [round.round, round] as const)]);
  return { ...step, state: { ...step.state, rounds: known } };
}

function hearAgent(state: StoryState, agent: AgentView): Step {
  const before = state.agents.get(agent.id)?.status?.modelVersion ?? null;
  const now = agent.status?.modelVersion ?? null;
  const accepted = now !== null && now !== before;
  return {
    state: { ...state, agents: new Map(state.agents).set(agent.id, agent) },
    effects: accepted ? [say(wording.accepted(agent.id, now))] : [],
  };
}

function hearRound(state: StoryState, round: RoundView): Step {
  const known = state.rounds.get(round.round)?.phase === round.phase;
  const isNews = !known && (round.phase === 'committed' || round.phase === 'failed');
  return {
    state: { ...state, rounds: new Map(state.rounds).set(round.round, round) },
    effects: isNews ? [say(wording.round(round, state.roundsPlanned))] : [],
  };
}

function hearAlarm(options: StoryOptions, state: StoryState, alarm: AlarmEvent, nowMs: number): Step {
  const from = state.watchFrom[alarm.agent];
  const seen = state.alarms.get(alarm.alarmId);
  if (from === undefined || alarm.communication !== undefined) return quietly(state);
  if (alarm.transition === 'raised' && seen === undefined && alarm.atMs >= from.timeMs) {
    const added: SeenAlarm = {
      alarmId: alarm.alarmId,
      agent: alarm.agent,
      raised: alarm,
      raisedWallMs: nowMs,
      clearedAtMs: null,
    };
    const alarms = new Map(state.alarms).set(alarm.alarmId, added);
    return {
      state: { ...state, alarms },
      effects: [say(wording.raised(added, state, isExpected(options, state, added)))],
    };
  }
  if (alarm.transition === 'cleared' && seen !== undefined && seen.clearedAtMs === null) {
    const alarms = new Map(state.alarms).set(alarm.alarmId, { ...seen, clearedAtMs: alarm.atMs });
    return { state: { ...state, alarms }, effects: [say(wording.cleared(alarm, seen))] };
  }
  return quietly(state);
}

/** True for an alarm of the attacked site, from the attack's first row until the plant has recovered from it. */
function isExpected(options: StoryOptions, state: StoryState, alarm: SeenAlarm): boolean {
  return (
    alarm.agent === options.attackedSite &&
    state.attackStarted !== null &&
    alarm.raised.atMs >= state.attackStarted.atMs &&
    (state.attackEnded === null || alarm.raised.atMs <= state.attackEnded.atMs + CLEARING_ROWS * options.intervalMs)
  );
}

/** True for an alarm that came while the attack was on, not one that its aftermath caused. */
function isDetection(options: StoryOptions, state: StoryState, alarm: SeenAlarm): boolean {
  const endedMs = state.attackEnded?.atMs ?? Number.POSITIVE_INFINITY;
  return isExpected(options, state, alarm) && alarm.raised.atMs <= endedMs;
}

/** Rows every site has gone on since the watch began, of the slowest. */
function rowsSince(options: StoryOptions, state: StoryState, from: Readonly<Record<string, SiteProgress>>): number {
  return Math.min(...options.sites.map((site) => (state.plant[site]?.rows ?? 0) - (from[site]?.rows ?? 0)));
}

const enter = (state: StoryState, phase: StoryPhase, nowMs: number): StoryState => ({
  ...state,
  phase,
  phaseSinceMs: nowMs,
});

/** As far as it goes: what an event completes may be all that the next phase waits for. */
function move(options: StoryOptions, state: StoryState, nowMs: number): Step {
  let step = quietly(state);
  for (let next = moveOnce(options, state, nowMs); next !== null; next = moveOnce(options, step.state, nowMs))
    step = { state: next.state, effects: [...step.effects, ...next.effects] };
  const { phase, phaseSinceMs } = step.state;
  if (phase === 'done' || nowMs - phaseSinceMs <= LONGEST_MS[phase]) return step;
  return finish(options, step.state, nowMs, wording.stuck(step.state, options));
}

function moveOnce(options: StoryOptions, state: StoryState, nowMs: number): Step | null {
  const { model } = state;
  switch (state.phase) {
    case 'learning': {
      if (state.serverPhase !== 'finished' || model === null) return null;
      return quietly(enter(state, 'accepting', nowMs));
    }
    case 'accepting': {
      const late = options.sites.filter((site) => state.agents.get(site)?.status?.modelVersion !== model?.modelVersion);
      const busy = options.sites.some((site) => (state.plant[site]?.rows ?? 0) < options.commissioningRows);
      if (late.length > 0 || busy) return null;
      const watching = enter({ ...state, watchFrom: state.plant }, 'watching', nowMs);
      return { state: watching, effects: [say(wording.watch(options))] };
    }
    case 'watching': {
      const rows = rowsSince(options, state, state.watchFrom);
      if (options.attack === null) return rows < QUIET_ROWS ? null : finish(options, state, nowMs);
      if (rows < SETTLE_ROWS) return null;
      return ask(options.attack, options, enter(state, 'attacking', nowMs), nowMs);
    }
    case 'attacking': {
      if (state.attackEnded !== null) return quietly(enter(state, 'clearing', nowMs));
      // A plant that was just restarting has not heard.
      const unheard = state.attackStarted === null && nowMs - (state.attackAskedMs ?? nowMs) > ASK_AGAIN_MS;
      return unheard && options.attack !== null ? ask(options.attack, options, state, nowMs) : null;
    }
    case 'clearing':
      return clearing(options, state, nowMs);
    case 'done':
      return null;
  }
}

function ask(name: string, options: StoryOptions, state: StoryState, nowMs: number): Step {
  return {
    state: { ...state, attackAskedMs: nowMs },
    effects: [{ kind: 'start-attack', site: options.attackedSite, name }],
  };
}

function clearing(options: StoryOptions, state: StoryState, nowMs: number): Step | null {
  const ended = state.attackEnded?.atMs ?? 0;
  const now = state.plant[options.attackedSite]?.timeMs ?? 0;
  const expected = [...state.alarms.values()].filter((alarm) => isExpected(options, state, alarm));
  const lastCleared = Math.max(ended, ...expected.map(({ clearedAtMs }) => clearedAtMs ?? Number.POSITIVE_INFINITY));
  const isDetected = expected.some((alarm) => isDetection(options, state, alarm));
  if (isDetected && now >= lastCleared + SETTLE_ROWS * options.intervalMs) return finish(options, state, nowMs);
  if (now < ended + CLEARING_ROWS * options.intervalMs) return null;
  return finish(options, state, nowMs);
}

function finish(options: StoryOptions, state: StoryState, nowMs: number, stuck?: string): Step {
  const failures = [
    ...(stuck === undefined ? [] : [stuck]),
    ...(stuck === undefined ? shortcomings(options, state) : []),
  ];
  return { state: { ...enter(state, 'done', nowMs), failures }, effects: [{ kind: 'finish' }] };
}

/** What the demonstration should have shown and did not. */
function shortcomings(options: StoryOptions, state: StoryState): string[] {
  const alarms = [...state.alarms.values()];
  const expected = alarms.filter((alarm) => isExpected(options, state, alarm));
  const failures = alarms
    .filter((alarm) => !isExpected(options, state, alarm))
    .map((alarm) => `${alarm.agent} raised an alarm that no attack explains`);
  if (options.attack === null) return failures;
  if (!expected.some((alarm) => isDetection(options, state, alarm)))
    failures.push(`the attack ${options.attack} on ${options.attackedSite} was not alarmed while it was on`);
  if (expected.some(({ clearedAtMs }) => clearedAtMs === null))
    failures.push(`the alarm of ${options.attackedSite} did not clear after the attack`);
  return failures;
}
