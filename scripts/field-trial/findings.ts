import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { serverConfig } from '@twinwatch/core/config/server';
import { inputCount } from '@twinwatch/core/features/extractor';
import { expandFeatures } from '@twinwatch/core/features/patterns';
import type { ControlRule } from '@twinwatch/core/features/spec';
import type { Tag } from '@twinwatch/core/scada/tag';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import type { AgentView, ModelView } from '@twinwatch/core/wire/http';
import type { AgentHealth } from '@twinwatch/core/wire/status';
import type { Recording } from '../plant/recording.js';
import type { Acquisition, PolledRow } from './acquisition.js';
import { baselines } from './baselines.js';
import type { FederationView } from './federation-view.js';
import type { FieldTrialOptions } from './field-trial.js';
import type { AlarmRow, FieldTrialData } from './field-trial-data.js';
import { alarmAt, attackRows, type Label, scoresOf } from './scores.js';
import { ROUNDS, type TrialDetector } from './trial-detector.js';

export interface TrialFacts {
  readonly options: FieldTrialOptions;
  /** Wall clock. */
  readonly startedAtMs: number;
  readonly history: Recording;
  readonly feed: Recording;
  readonly tags: readonly Tag[];
  readonly rules: readonly ControlRule[];
  readonly detector: TrialDetector;
  readonly intervalMs: number;
  readonly polled: readonly PolledRow[];
  readonly acquisition: Acquisition;
  /** The detector that stood watch, and the agents that it was learned by. */
  readonly released: ModelView;
  readonly learned: readonly AgentView[];
  /** The duty agent's last words before it was stopped. */
  readonly duty: AgentHealth | null;
  /** At the end. */
  readonly view: FederationView;
  readonly steps: readonly { readonly step: string; readonly ms: number }[];
}

/** From what was seen to what is reported. */
export async function trialData(facts: TrialFacts): Promise<FieldTrialData> {
  const { feed, history, intervalMs, tags, options, view } = facts;
  const byTime = new Map(facts.polled.map((row) => [row.timeMs, row]));
  const timeMs = feed.rows.map((row) => row.timeMs);
  const score = timeMs.map((at) => byTime.get(at)?.score ?? null);
  const alarms = alarmRows([...view.alarms.values()]);
  const alarm = alarmAt(timeMs, alarms);
  const label: readonly Label[] = feed.labels ?? feed.rows.map(() => null);
  // A row without a score is not suspicious.
  const scores = scoresOf({ score: score.map((value) => value ?? 0), alarm, label, intervalMs });
  const judged = scores === null ? [] : baselines(history.rows, feed.rows, tags, options.seed);
  return {
    run: await runOf(facts),
    scores,
    baselines: judged.map(({ name, description, ...said }) => ({
      name,
      description,
      scores: scoresOf({ ...said, label, intervalMs })!,
    })),
    attacks: attackRows(timeMs, alarm, label, intervalMs),
    alarms,
    series: {
      timeMs,
      score,
      threshold: facts.released.threshold,
      alarm,
      labels: feed.labels?.map((value) => (value === null ? null : value === 1)) ?? null,
    },
    rounds: [...view.rounds.values()]
      .filter(({ phase }) => phase === 'committed')
      .map(({ round, validation, bytesUp, bytesDown, milliseconds, accepted, rejected }) => ({
        ...{ round, validation, bytesUp, bytesDown, milliseconds },
        accepted: accepted.length,
        rejected: rejected.length,
      })),
    latency: latencyOf(facts),
    agentRss: rssOf(facts),
  };
}

function latencyOf({ duty }: TrialFacts): FieldTrialData['latency'] {
  const { sensorToAlarmMsP50: p50Ms = null, sensorToAlarmMsP99: p99Ms = null } = duty ?? {};
  return p50Ms === null || p99Ms === null ? null : { p50Ms, p99Ms, count: duty?.sensorToAlarmCount ?? 0 };
}

function rssOf({ duty, learned }: TrialFacts): FieldTrialData['agentRss'] {
  const learners = learned.flatMap(({ id, status }) => (status?.health ? [{ agent: id, health: status.health }] : []));
  const all = duty === null ? learners : [...learners, { agent: 'duty', health: duty }];
  return all.map(({ agent, health }) => ({ agent, rssBytes: health.rssBytes }));
}

/** Raised and cleared events of the duty agent, brought together. */
function alarmRows(events: readonly AlarmEvent[]): AlarmRow[] {
  const own = events.filter(({ agent, communication }) => agent === 'duty' && communication === undefined);
  const clearedAt = new Map(
    own.filter(({ transition }) => transition === 'cleared').map((event) => [event.alarmId, event.atMs]),
  );
  return own
    .filter(({ transition }) => transition === 'raised')
    .sort((a, b) => a.atMs - b.atMs)
    .map(({ alarmId, atMs, score, contributions }) => ({
      raisedAtMs: atMs,
      clearedAtMs: clearedAt.get(alarmId) ?? null,
      score,
      contributions: contributions.map(({ tag, share }) => ({ tag, share })),
    }));
}

async function runOf(facts: TrialFacts): Promise<FieldTrialData['run']> {
  const { options, history, feed, released, acquisition, intervalMs } = facts;
  const detector = withDefaults(facts.detector);
  const features = expandFeatures(detector.features, facts.tags, facts.rules);
  const network = await readFile(options.network);
  return {
    softwareVersion: facts.view.agents.get('duty')?.status?.softwareVersion ?? '',
    startedAtMs: facts.startedAtMs,
    files: [
      { role: 'history', name: basename(options.history), rows: history.rows.length, sha256: history.sha256 },
      { role: 'feed', name: basename(options.feed), rows: feed.rows.length, sha256: feed.sha256 },
      {
        role: 'network',
        name: basename(options.network),
        rows: null,
        sha256: createHash('sha256').update(network).digest('hex'),
      },
    ],
    seeds: { twin: options.seed, baseline: options.seed },
    agents: options.agents,
    method: ROUNDS.method,
    intervalMs,
    model: {
      version: released.modelVersion,
      round: released.round,
      inputs: inputCount({ features }),
      hidden: detector.hidden,
      members: detector.members,
      bytes: released.bytes,
      chosenFrom:
        "the twin's validation episodes and the agents' held-back normal rows; alarm delays and false-alarm rate are the product's defaults, and this run read no label of the feed before its report",
    },
    fed: acquisition.fed,
    polled: acquisition.polled + acquisition.unknownRows,
    gaps: facts.duty?.rowsMissing ?? acquisition.missingRows,
    duplicates: facts.duty?.duplicateReadings ?? 0,
    online: options.online === true,
    durations: facts.steps,
  };
}

/** The detector's configuration with its defaults. */
function withDefaults(detector: TrialDetector) {
  const broker = { url: 'mqtt://127.0.0.1' };
  return serverConfig.parse({ federation: 'x', broker, dataDir: '.', twin: { plant: 'x' }, detector }).detector;
}
