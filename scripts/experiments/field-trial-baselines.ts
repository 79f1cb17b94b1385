import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { TrainingEngine } from '@twinwatch/core/learning/engine';
import type { Row } from '@twinwatch/core/scada/sample';
import { createWorkerEngine } from '@twinwatch/core/training/engine-host';
import { withDemands } from '@twinwatch/twin-server/twin/demand/demand-file';
import { fitToHistory } from '@twinwatch/twin-server/twin/demand/history';
import { EpanetTwin } from '@twinwatch/twin-server/twin/epanet-twin';
import { loadPlant, plantTags } from '@twinwatch/twin-server/twin/plant-config';
import type { TwinRows } from '@twinwatch/twin-server/twin/twin-source';
import { alarmsOf } from '../catalogue/watch-run.js';
import { ProgressLine } from '../demo/progress-line.js';
import { baselines } from '../field-trial/baselines.js';
import type { DetectorScores } from '../field-trial/field-trial-data.js';
import { alarmAt, attackRows, type Label, scoresOf } from '../field-trial/scores.js';
import { ROUNDS, type TrialDetector, trialDetector, twinOf } from '../field-trial/trial-detector.js';
import { type Recording, readRecording } from '../plant/recording.js';
import { systemClock } from '../processes/node-runtime.js';
import { readTextFile } from '../processes/read-config.js';
import { fromRepository } from '../processes/repository.js';
import { learnCentralised, learnFromNormal } from './gathered-detectors.js';
import { gatherRows } from './gathered-rows.js';
import { type LearnedDetector, learnFederated, learningOf } from './learned-detector.js';
import { ResultFile } from './result-file.js';
import { markdownTable, spreadWords } from './summary.js';

/**
 * The field trial's detector beside others on the same history, twin, features, threshold rule and alarm delays, over several seeds, in one process.
 * Labels of the feed are read when everything has been learned, and only to score.
 */

export interface BaselinesOptions {
  readonly history: string;
  readonly feed: string;
  readonly network?: string;
  readonly plant: string;
  readonly seeds: number;
  readonly episodes?: number;
  readonly agents: number;
  readonly rounds: number;
  /** Names of the detectors that learn; all where absent. */
  readonly only?: readonly string[];
  readonly out?: string;
}

interface Contestant {
  readonly name: string;
  readonly description: string;
  learn(given: Given): Promise<LearnedDetector>;
}

/** What there is to learn from, with one seed. */
interface Given {
  readonly sites: readonly (readonly Row[])[];
  readonly twin: TwinRows;
  readonly detector: TrialDetector;
  readonly seed: number;
  readonly rounds: number;
  readonly engine: TrainingEngine;
}

interface SeedResult {
  readonly name: string;
  readonly seed: number;
  readonly scores: DetectorScores;
  /** Hours to each attack's detection, null where missed. */
  readonly delays: readonly (number | null)[];
}

function federated(changed: object, rounds: object): Contestant['learn'] {
  return ({ sites, twin, detector, seed, engine, rounds: count }) =>
    learnFederated({
      ...{ twin, seed, engine },
      clients: sites.map((rows, i) => ({ id: `site-${i + 1}`, rows })),
      learning: learningOf({ ...detector, ...changed }, { ...ROUNDS, ...rounds, count, minimumRows: 1 }),
    });
}

const learning = ({ detector, rounds }: Given) => learningOf(detector, { ...ROUNDS, count: rounds });

const CONTESTANTS: readonly Contestant[] = [
  { name: 'Twinwatch', description: 'the field trial as it is', learn: federated({}, {}) },
  {
    name: 'network 16→8',
    description: "the same with the paper's network, one of it",
    learn: federated({ hidden: [16, 8], members: 1 }, {}),
  },
  {
    name: 'FedAvg with twin rows',
    description: 'plain averaging; agents mix the shared twin rows into theirs, the server learns nothing itself',
    learn: federated({}, { method: 'fedavg' }),
  },
  {
    name: 'FedAvg without twin',
    description:
      'plain averaging of what the sites have, which is no attack; the twin only chooses threshold and round',
    learn: federated({}, { method: 'fedavg', exchangeRows: 0 }),
  },
  {
    name: 'centralised',
    description: 'the same network with all history and all twin rows in one place',
    learn: async (given) => {
      const { sites, twin, seed, engine } = given;
      const own = learning(given);
      const rows = gatherRows(sites, twin, own.detector, { validationShare: own.validationShare, seed });
      return learnCentralised({ rows, learning: own, seed }, engine);
    },
  },
  {
    name: 'autoencoder',
    description: 'learns to repeat all history in one place; the twin only chooses its threshold',
    learn: async (given) => {
      const { sites, twin, seed } = given;
      const own = learning(given);
      const rows = gatherRows(sites, twin, own.detector, { validationShare: own.validationShare, seed });
      return learnFromNormal({ rows, learning: own, seed });
    },
  },
];

/** @throws TwinwatchError CLI_USAGE where there is no detector of such a name. */
function chosen(names: readonly string[] | undefined): readonly Contestant[] {
  if (names === undefined) return CONTESTANTS;
  const known = CONTESTANTS.map(({ name }) => name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown === undefined) return CONTESTANTS.filter(({ name }) => names.includes(name));
  throw new TwinwatchError('CLI_USAGE', `there is no detector '${unknown}'; write one of '${known.join("', '")}'`);
}

/** @throws TwinwatchError CLI_USAGE, CONFIG_*, FEED_INVALID, PLANT_*, TWIN_*, LEARNER_* */
export async function runBaselines(options: BaselinesOptions): Promise<void> {
  const contestants = chosen(options.only);
  const line = new ProgressLine(process.stdout, () => systemClock.monotonic());
  const asWritten = await loadPlant(fromRepository(options.plant), readTextFile, options.network);
  const { interval: intervalMs } = asWritten.config;
  const detector = trialDetector(asWritten.config.tags, intervalMs);
  const tags = plantTags(asWritten.config);
  const columns = { dateOrder: 'auto', columns: {}, delimiter: ',' } as const;
  const names = tags.map(({ name }) => name);
  const history = await readRecording(options.history, names, columns);
  const feed = await readRecording(options.feed, names, columns);
  // As the field trial does, there from the agents' summaries.
  const bytes = await readFile(options.history);
  const { fit } = await fitToHistory(asWritten, bytes, options.history, {
    ...columns,
    optionalLabelColumn: 'ATT_FLAG',
  });
  const plant = { ...asWritten, config: withDemands(asWritten.config, fit) };
  const sites = Array.from({ length: options.agents }, (_, k) => {
    const border = (i: number) => Math.floor((history.rows.length * i) / options.agents);
    return history.rows.slice(border(k), border(k + 1));
  });
  const engine = await createWorkerEngine({ kind: 'auto', log: console });
  const { seeds, out, ...about } = options;
  const file = new ResultFile<SeedResult>(out, { ...about, detector, rounds: { ...ROUNDS, count: options.rounds } });
  await file.goOn();
  try {
    for (let seed = 1; seed <= seeds; seed++) {
      if (file.has(seed)) continue;
      const results: SeedResult[] = [];
      const { episodes, days, attackShare } = twinOf(intervalMs, options.episodes ?? null);
      line.live(`seed ${seed}: simulating the twin`);
      const source = new EpanetTwin({ plant, threads: Math.min(2, availableParallelism()) });
      const twin = await source.generate({ seed, episodes, hoursPerEpisode: days * 24, attackShare }, () => undefined);
      for (const { name, learn } of contestants) {
        line.live(`seed ${seed}: ${name}`);
        const learned = await learn({ sites, twin, detector, seed, engine, rounds: options.rounds });
        const result = await judge({ name, seed }, learned, learningOf(detector, ROUNDS).detector, feed, intervalMs);
        results.push(result);
        line.say(wordsOf(result));
      }
      for (const { name, ...said } of baselines(history.rows, feed.rows, tags, seed)) {
        results.push(scored({ name, seed }, said, feed, intervalMs));
      }
      await file.add(results);
    }
  } finally {
    await engine.close();
    line.end();
  }
  const what = contestants.map(({ name, description }) => `- ${name}: ${description}`).join('\n');
  process.stdout.write(`\n${scoreTable(file.results)}\n\n${delayTable(file.results)}\n\n${what}\n`);
}

async function judge(
  about: { name: string; seed: number },
  learned: LearnedDetector,
  { alarm }: ReturnType<typeof learningOf>['detector'],
  feed: Recording,
  intervalMs: number,
): Promise<SeedResult> {
  const scores = await learned.score(feed.rows);
  const raised = alarmsOf(feed.rows, scores, { ...alarm, threshold: learned.threshold });
  const timeMs = feed.rows.map((row) => row.timeMs);
  // A row without a score is not suspicious.
  const said = { score: scores.map((value) => value ?? 0), alarm: alarmAt(timeMs, raised) };
  return scored(about, said, feed, intervalMs);
}

function scored(
  about: { name: string; seed: number },
  said: { score: readonly number[]; alarm: readonly boolean[] },
  { rows, labels }: Recording,
  intervalMs: number,
): SeedResult {
  const label: readonly Label[] = labels ?? rows.map(() => null);
  const scores = scoresOf({ ...said, label, intervalMs });
  if (scores === null)
    throw new TwinwatchError(
      'FEED_INVALID',
      'the feed has no labelled attacks and normal rows, so nothing can be scored on it; name one that has',
    );
  const attacks = attackRows(
    rows.map(({ timeMs }) => timeMs),
    said.alarm,
    label,
    intervalMs,
  );
  return { ...about, scores, delays: attacks.map((attack) => (attack.detected ? attack.timeToDetectionHours : null)) };
}

function wordsOf({ name, seed, scores }: SeedResult): string {
  const { S, F1, TNR, rocAuc, prAuc, episodeRecall } = scores;
  const words = Object.entries({ S, F1, TNR, ROC: rocAuc, PR: prAuc }).map(
    ([key, value]) => `${key} ${value.toFixed(3)}`,
  );
  return `seed ${seed} ${name.padEnd(22)} ${words.join('  ')}  found ${(100 * episodeRecall).toFixed(0)} %`;
}

const COLUMNS: readonly (readonly [string, keyof DetectorScores, number])[] = [
  ['S', 'S', 3],
  ['F1', 'F1', 3],
  ['TPR', 'TPR', 3],
  ['TNR', 'TNR', 3],
  ['ROC AUC', 'rocAuc', 3],
  ['PR AUC', 'prAuc', 3],
  ['attacks found', 'episodeRecall', 2],
  ['alarms right', 'episodePrecision', 2],
  ['false alarms/day', 'falseAlarmsPerDay', 3],
  ['affiliation F1', 'affiliationF1', 3],
];

const namesOf = (results: readonly SeedResult[]) => [...new Set(results.map(({ name }) => name))];

/** Mean ± deviation over the seeds, one line per detector. */
function scoreTable(results: readonly SeedResult[]): string {
  const rows = namesOf(results).map((name) => {
    const own = results.filter((result) => result.name === name);
    return [
      name,
      ...COLUMNS.map(([, key, digits]) =>
        spreadWords(
          own.map(({ scores }) => scores[key]),
          digits,
        ),
      ),
    ];
  });
  return markdownTable(['detector', ...COLUMNS.map(([words]) => words)], rows);
}

/** Hours to each attack's detection: the mean over the seeds that found it, and how many did where not all. */
function delayTable(results: readonly SeedResult[]): string {
  const attacks = results[0]?.delays.length ?? 0;
  const rows = namesOf(results).map((name) => {
    const own = results.filter((result) => result.name === name);
    const cells = Array.from({ length: attacks }, (_, i) => {
      const found = own.flatMap(({ delays }) => (delays[i] === null ? [] : [delays[i]!]));
      if (found.length === 0) return 'missed';
      const mean = (found.reduce((sum, hours) => sum + hours, 0) / found.length).toFixed(1);
      return found.length === own.length ? mean : `${mean} (${found.length}/${own.length})`;
    });
    return [name, ...cells];
  });
  return markdownTable(['detector', ...Array.from({ length: attacks }, (_, i) => `attack ${i + 1}`)], rows);
}
