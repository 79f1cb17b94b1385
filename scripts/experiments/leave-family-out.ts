import { availableParallelism } from 'node:os';
import { episodeRecall, falseAlarmEpisodesPerDay } from '@twinwatch/core/evaluation/episodes';
import { rankingAreas } from '@twinwatch/core/evaluation/ranking';
import type { TrainingEngine } from '@twinwatch/core/learning/engine';
import type { AlarmParameters } from '@twinwatch/core/scada/alarm';
import type { Row } from '@twinwatch/core/scada/sample';
import { createWorkerEngine } from '@twinwatch/core/training/engine-host';
import { ATTACK_FAMILIES, type AttackFamily } from '@twinwatch/twin-server/twin/attacks';
import { EpanetTwin } from '@twinwatch/twin-server/twin/epanet-twin';
import { Plant } from '@twinwatch/twin-server/twin/plant';
import { type LoadedPlant, loadPlant } from '@twinwatch/twin-server/twin/plant-config';
import type { TwinEpisode, TwinRows } from '@twinwatch/twin-server/twin/twin-source';
import { alarmsOf } from '../catalogue/watch-run.js';
import { ProgressLine } from '../demo/progress-line.js';
import { alarmAt } from '../field-trial/scores.js';
import { ROUNDS, trialDetector, twinOf } from '../field-trial/trial-detector.js';
import { systemClock } from '../processes/node-runtime.js';
import { readTextFile } from '../processes/read-config.js';
import { fromRepository } from '../processes/repository.js';
import { type LearnedDetector, type Learning, learnFederated, learningOf } from './learned-detector.js';
import { ResultFile } from './result-file.js';
import { markdownTable, spreadWords } from './summary.js';

/**
 * Does a detector find attacks of a family that its twin never showed it? One detector per family learns from a twin that draws from all other
 * families, and is judged on attacks of that family alone, beside one that learned from all.
 */

export interface LeaveFamilyOutOptions {
  readonly plant: string;
  readonly network?: string;
  readonly seeds: number;
  /** Fortnights that each twin simulates, to learn from. */
  readonly episodes: number;
  /** Fortnights of attacks of one family, to judge on. */
  readonly testEpisodes: number;
  readonly agents: number;
  readonly rounds: number;
  readonly members: number;
  readonly out?: string;
}

export interface FamilyResult {
  readonly family: AttackFamily;
  readonly seed: number;
  readonly attacks: number;
  readonly seen: Judgement;
  readonly leftOut: Judgement;
}

export interface Judgement {
  readonly rocAuc: number;
  readonly prAuc: number;
  /** Share of the attacks during which an alarm was on. */
  readonly detected: number;
  readonly falseAlarmsPerDay: number;
}

const HOUR_MS = 3_600_000;
/** Normal running of each simulated site, which is what agents have. */
const SITE_HOURS = 24 * 28;
/** Seeds that no twin has: those of sites, and of the twins that detectors are judged on. */
const FIRST_SITE_SEED = 7_001;
const FIRST_TEST_SEED = 90_001;

/** @throws TwinwatchError CONFIG_*, PLANT_*, TWIN_*, LEARNER_* */
export async function runLeaveFamilyOut(options: LeaveFamilyOutOptions): Promise<void> {
  const line = new ProgressLine(process.stdout, () => systemClock.monotonic());
  const plant = await loadPlant(fromRepository(options.plant), readTextFile, options.network);
  const learning = learningOf(
    { ...trialDetector(plant.config.tags, plant.config.interval), members: options.members },
    { ...ROUNDS, count: options.rounds, minimumRows: 1 },
  );
  const engine = await createWorkerEngine({ kind: 'auto', log: console });
  const families = ATTACK_FAMILIES.filter((family) => possible(plant, family));
  const { seeds, out, ...about } = options;
  const file = new ResultFile<FamilyResult>(out, { ...about, learning });
  await file.goOn();
  try {
    for (let seed = 1; seed <= seeds; seed++) {
      if (file.has(seed)) continue;
      const results: FamilyResult[] = [];
      const learner = new FamilyLearner(plant, options, learning, engine, seed);
      line.live(`seed ${seed}: learning from every family`);
      const all = await learner.learn(families);
      for (const family of families) {
        line.live(`seed ${seed}: learning without ${family}`);
        const others = families.filter((other) => other !== family);
        const without = await learner.learn(others);
        const test = await learner.attacksOf(family);
        const result: FamilyResult = {
          ...{ family, seed, attacks: attacksIn(test) },
          seen: await judge(all, test, learning),
          leftOut: await judge(without, test, learning),
        };
        results.push(result);
        line.say(wordsOf(result));
      }
      await file.add(results);
    }
  } finally {
    await engine.close();
    line.end();
  }
  process.stdout.write(`\n${familyTable(file.results)}\n`);
}

/** Whether the plant has what a family needs: links between PLCs, pumps. */
function possible({ config }: LoadedPlant, family: AttackFamily): boolean {
  const owners = new Map(config.tags.map(({ name, plc }) => [name, plc]));
  if (family === 'link') return config.controls.some(({ plc, on }) => on !== undefined && owners.get(on.tag) !== plc);
  if (family === 'speed') return config.controls.some(({ kind, on }) => kind === 'pump' && on !== undefined);
  return true;
}

/** Detectors of one seed, and what they are judged on. */
class FamilyLearner {
  readonly #plant: LoadedPlant;
  readonly #options: LeaveFamilyOutOptions;
  readonly #learning: Learning;
  readonly #engine: TrainingEngine;
  readonly #seed: number;
  #sites: Promise<Row[][]> | null = null;

  constructor(
    plant: LoadedPlant,
    options: LeaveFamilyOutOptions,
    learning: Learning,
    engine: TrainingEngine,
    seed: number,
  ) {
    this.#plant = plant;
    this.#options = options;
    this.#learning = learning;
    this.#engine = engine;
    this.#seed = seed;
  }

  async learn(families: readonly AttackFamily[]): Promise<LearnedDetector> {
    const { config } = this.#plant;
    const { episodes, days, attackShare } = twinOf(config.interval, this.#options.episodes);
    const twin = await this.#simulate(families, this.#seed, { episodes, days, attackShare });
    this.#sites ??= this.#commission();
    const clients = (await this.#sites).map((rows, i) => ({ id: `site-${i + 1}`, rows }));
    return learnFederated({ clients, twin, learning: this.#learning, engine: this.#engine, seed: this.#seed });
  }

  async attacksOf(family: AttackFamily): Promise<TwinRows> {
    const { days } = twinOf(this.#plant.config.interval, null);
    const seed = FIRST_TEST_SEED + this.#seed;
    return this.#simulate([family], seed, { episodes: this.#options.testEpisodes, days, attackShare: 1 });
  }

  #simulate(
    families: readonly AttackFamily[],
    seed: number,
    { episodes, days, attackShare }: { episodes: number; days: number; attackShare: number },
  ): Promise<TwinRows> {
    const { attacks } = this.#plant;
    // Where concealment alone is left out, nothing else may teach it: other attacks conceal, too.
    const concealed = families.includes('scada') ? attacks.random.concealed : 0;
    const random = { ...attacks.random, families: [...families], concealed };
    const source = new EpanetTwin({
      plant: { ...this.#plant, attacks: { ...attacks, random } },
      threads: Math.min(2, availableParallelism()),
    });
    return source.generate({ seed, episodes, hoursPerEpisode: days * 24, attackShare }, () => undefined);
  }

  async #commission(): Promise<Row[][]> {
    const { config, network } = this.#plant;
    const sites: Row[][] = [];
    for (let i = 0; i < this.#options.agents; i++) {
      const seed = FIRST_SITE_SEED + 100 * this.#seed + i;
      const site = await Plant.open({ config, network, variation: { seed } });
      const count = Math.round((SITE_HOURS * HOUR_MS) / config.interval);
      sites.push(
        Array.from({ length: count }, (_, row) => {
          const { timeMs, scada } = site.step();
          return { timeMs, sequence: row + 1, values: scada };
        }),
      );
      site.close();
    }
    return sites;
  }
}

/** Rows that count, all episodes one after the other; each is watched from a quiet alarm on. */
async function judge(detector: LearnedDetector, test: TwinRows, { detector: { alarm } }: Learning): Promise<Judgement> {
  const scores: number[] = [];
  const alarms: boolean[] = [];
  const labels: number[] = [];
  for (const episode of test.episodes) {
    const judged = await watchEpisode(detector, episode, { ...alarm, threshold: detector.threshold });
    scores.push(...judged.scores);
    alarms.push(...judged.alarms);
    labels.push(...judged.labels);
  }
  return {
    ...rankingAreas(scores, labels),
    detected: episodeRecall({ alarms, labels }),
    falseAlarmsPerDay: falseAlarmEpisodesPerDay({ alarms, labels, intervalMs: test.intervalMs }),
  };
}

async function watchEpisode(
  detector: LearnedDetector,
  { rows, labels, excluded }: TwinEpisode,
  alarm: AlarmParameters,
) {
  const scores = await detector.score(rows);
  const raised = alarmsOf(rows, scores, alarm);
  const on = alarmAt(
    rows.map(({ timeMs }) => timeMs),
    raised,
  );
  const kept = [...rows.keys()].filter((row) => excluded[row] !== 1);
  return {
    scores: kept.map((row) => scores[row] ?? 0),
    alarms: kept.map((row) => on[row]!),
    labels: kept.map((row) => labels[row]!),
  };
}

function attacksIn({ episodes }: TwinRows): number {
  const starts = ({ labels, excluded }: TwinEpisode) => {
    const kept = [...labels].filter((_, row) => excluded[row] !== 1);
    return kept.filter((label, i) => label === 1 && kept[i - 1] !== 1).length;
  };
  return episodes.reduce((sum, episode) => sum + starts(episode), 0);
}

function wordsOf({ seed, family, attacks, seen, leftOut }: FamilyResult): string {
  const words = ({ rocAuc: roc, prAuc: pr, detected }: Judgement) =>
    `ROC ${roc.toFixed(3)} PR ${pr.toFixed(3)} found ${(100 * detected).toFixed(0)} %`;
  return `seed ${seed} ${family.padEnd(10)} ${attacks} attacks   seen: ${words(seen)}   left out: ${words(leftOut)}`;
}

/** One line per family: mean ± deviation over the seeds, the detector that saw the family first. */
export function familyTable(results: readonly FamilyResult[]): string {
  const families = [...new Set(results.map(({ family }) => family))];
  const head = [
    'family',
    'attacks',
    ...['ROC AUC', 'PR AUC', 'found', 'false alarms/day'].flatMap((measure) => [measure, 'left out']),
  ];
  const rows = families.map((family) => {
    const own = results.filter((result) => result.family === family);
    const pair = (key: keyof Judgement, digits?: number) =>
      (['seen', 'leftOut'] as const).map((side) =>
        spreadWords(
          own.map((result) => result[side][key]),
          digits,
        ),
      );
    const attacks = own.reduce((sum, result) => sum + result.attacks, 0);
    return [
      family,
      String(attacks),
      ...pair('rocAuc'),
      ...pair('prAuc'),
      ...pair('detected', 2),
      ...pair('falseAlarmsPerDay', 2),
    ];
  });
  return markdownTable(head, rows);
}
