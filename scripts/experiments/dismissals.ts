import { existsSync } from 'node:fs';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TrainingEngine } from '@twinwatch/core/learning/engine';
import type { Row } from '@twinwatch/core/scada/sample';
import { createWorkerEngine } from '@twinwatch/core/training/engine-host';
import { UNLABELLED } from '@twinwatch/edge-agent/store/row-table';
import { trainingSet } from '@twinwatch/edge-agent/training/training-set';
import type { ClientRows } from '@twinwatch/twin-server/aggregator/client-examples';
import { type FederationOutcome, runFederation } from '@twinwatch/twin-server/aggregator/in-process';
import type { Journal } from '@twinwatch/twin-server/aggregator/journal';
import { openJournal } from '@twinwatch/twin-server/aggregator/sqlite-journal';
import { attackAt } from '@twinwatch/twin-server/twin/attacks';
import { EpanetTwin } from '@twinwatch/twin-server/twin/epanet-twin';
import { Plant } from '@twinwatch/twin-server/twin/plant';
import { type LoadedPlant, loadPlant } from '@twinwatch/twin-server/twin/plant-config';
import type { TwinRows } from '@twinwatch/twin-server/twin/twin-source';
import { judge } from '../catalogue/outcome.js';
import { type RaisedAlarm, type Watch, watchRows } from '../catalogue/watch-run.js';
import { ProgressLine } from '../demo/progress-line.js';
import { COMMISSIONING_HOURS, DETECTOR, ROUNDS, TWIN } from '../demo/reference-detector.js';
import { systemClock } from '../processes/node-runtime.js';
import { readTextFile } from '../processes/read-config.js';
import { fromRepository } from '../processes/repository.js';
import { type DriftName, driftNamed, driftOf, type SiteDays, siteDays } from './drifting-site.js';
import { learningOf } from './learned-detector.js';
import { markdownTable, spreadWords } from './summary.js';
import { writeResult } from './write-result.js';

/**
 * What do ten dismissals do to the false alarms? Sites are commissioned as their twin has them; then some come to run otherwise than it, for good
 * reasons, and raise false alarms. Ten are dismissed, rounds go on, and later days are watched. A control goes on without dismissals. Rows are
 * chosen by an agent's own rules, and rounds are run by the server's machine, with its journal, release and threshold.
 */

export interface DismissalsOptions {
  readonly plant: string;
  readonly drift: DriftName;
  readonly seeds: number;
  readonly agents: number;
  /** Of them, how many come to run otherwise. */
  readonly drifting: number;
  /** Watched with the first detector, and again with those after it. */
  readonly days: number;
  /** Before the decisions, and after. */
  readonly rounds: number;
  readonly dismissals: number;
  readonly weights: readonly number[];
  readonly out?: string;
}

/** Of one detector, on the later days. */
interface Measured {
  /** Per day of a site. */
  readonly drifting: Quiet;
  readonly unchanged: Quiet;
  /** Share of the catalogue's attacks, at a site that runs otherwise. */
  readonly found: number;
  readonly threshold: number;
  readonly round: number;
}

interface Quiet {
  readonly falseAlarms: number;
  readonly alarmedHours: number;
}

interface SeedResult {
  readonly seed: number;
  /** False alarms of the first detector while the alarms to dismiss were raised. */
  readonly raised: number;
  readonly dismissed: number;
  readonly dismissedRows: number;
  readonly arms: Readonly<Record<string, Measured>>;
}

interface Site {
  readonly id: string;
  readonly drifts: boolean;
  readonly commissioned: readonly Row[];
  readonly watched: readonly Row[];
  readonly later: readonly Row[];
}

/** An alarm of the watched days. */
interface SiteAlarm extends RaisedAlarm {
  readonly site: string;
  readonly dismissed: boolean;
}

const HOUR_MS = 3_600_000;
const QUARANTINE_MS = 12 * HOUR_MS;
/** Far from the seeds of twins. */
const FIRST_SITE_SEED = 31_001;

/** @throws TwinwatchError CONFIG_*, PLANT_*, TWIN_*, LEARNER_* */
export async function runDismissals(options: DismissalsOptions): Promise<void> {
  const line = new ProgressLine(process.stdout, () => systemClock.monotonic());
  const plant = await loadPlant(fromRepository(options.plant), readTextFile);
  const engine = await createWorkerEngine({ kind: 'builtin', log: console });
  const results: SeedResult[] = [];
  try {
    for (let seed = 1; seed <= options.seeds; seed++) {
      const result = await runSeed(plant, options, engine, seed, (words) => line.live(`seed ${seed}: ${words}`));
      results.push(result);
      line.say(seedWords(result));
    }
  } finally {
    await engine.close();
    line.end();
  }
  const table = dismissalsTable(results);
  process.stdout.write(`\n${table}\n`);
  if (options.out !== undefined) await writeResult(options.out, { options, results, table }, line);
}

async function runSeed(
  plant: LoadedPlant,
  options: DismissalsOptions,
  engine: TrainingEngine,
  seed: number,
  live: (words: string) => void,
): Promise<SeedResult> {
  live('simulating the twin');
  const twin = await new EpanetTwin({ plant, threads: Math.min(2, availableParallelism()) }).generate(
    { seed, episodes: TWIN.episodes, hoursPerEpisode: TWIN.days * 24, attackShare: 0.5 },
    () => undefined,
  );
  const sites: Site[] = [];
  for (let i = 0; i < options.agents; i++) {
    live(`running site ${i + 1} of ${options.agents}`);
    sites.push(await simulateSite(plant, options, FIRST_SITE_SEED + 100 * seed + i, i));
  }
  const attacks = await attacksOn(plant, options, FIRST_SITE_SEED + 100 * seed + 50);
  const federation = new Federation(options, engine, twin, seed);

  const directory = await mkdtemp(join(tmpdir(), 'twinwatch-dismissals-'));
  const first = join(directory, 'first.db');
  /** Rounds that go on from those in the file, up to `count` in all. */
  const learn = async (file: string, clients: readonly ClientRows[], count: number, labelsChanged: boolean) => {
    const journal = openJournal(file);
    try {
      return federation.watch(await federation.learn(journal, clients, count, labelsChanged));
    } finally {
      journal.close();
    }
  };
  live('learning before the change');
  const commissioned = sites.map((site) => ({ id: site.id, rows: site.commissioned }));
  const before = await learn(first, commissioned, options.rounds, false);
  const raised: SiteAlarm[] = [];
  for (const { id, watched } of sites)
    for (const alarm of await watchRows(before.watch, watched)) raised.push({ ...alarm, site: id, dismissed: false });
  const chosen = raised
    .filter(({ clearedAtMs }) => clearedAtMs !== null)
    .sort((a, b) => a.raisedAtMs - b.raisedAtMs)
    .slice(0, options.dismissals);
  const decided = raised.map((alarm) => ({ ...alarm, dismissed: chosen.includes(alarm) }));

  const arms: Record<string, Measured> = { before: await measure(before, sites, attacks, options.days) };
  const going: readonly [string, readonly SiteAlarm[], number][] = [
    ['control', raised, 1],
    ...options.weights.map(
      (weight) =>
        [`dismissed, weight ${weight}`, decided, weight] as const satisfies [string, readonly SiteAlarm[], number],
    ),
  ];
  for (const [name, alarms, weight] of going) {
    live(`${name}: learning on`);
    const file = join(directory, `${name}.db`);
    // Every arm starts from the same rounds. What SQLite has not yet moved into the file itself is beside it.
    for (const suffix of ['', '-wal']) if (existsSync(first + suffix)) await copyFile(first + suffix, file + suffix);
    const clients = sites.map((site) => clientOf(site, alarms, weight));
    const after = await learn(file, clients, 2 * options.rounds, true);
    arms[name] = await measure(after, sites, attacks, options.days);
  }
  await rm(directory, { recursive: true });
  const hours = chosen.reduce((sum, { raisedAtMs, clearedAtMs }) => sum + (clearedAtMs! - raisedAtMs), 0);
  return {
    ...{ seed, raised: raised.length, dismissed: chosen.length, dismissedRows: hours / plant.config.interval, arms },
  };
}

interface Watching {
  readonly watch: Watch;
  readonly outcome: FederationOutcome;
}

class Federation {
  readonly #options: DismissalsOptions;
  readonly #engine: TrainingEngine;
  readonly #twin: TwinRows;
  readonly #seed: number;

  constructor(options: DismissalsOptions, engine: TrainingEngine, twin: TwinRows, seed: number) {
    this.#options = options;
    this.#engine = engine;
    this.#twin = twin;
    this.#seed = seed;
  }

  /** @param count rounds of this run in all, those of an earlier call included. */
  learn(
    journal: Journal,
    clients: readonly ClientRows[],
    count: number,
    labelsChanged: boolean,
  ): Promise<FederationOutcome> {
    return runFederation({
      ...learningOf(DETECTOR, { ...ROUNDS, count, quorum: this.#options.agents, minimumRows: 1 }),
      ...{ clients, twin: this.#twin, engine: this.#engine, seed: this.#seed, log: SILENT },
      now: () => systemClock.now(),
      goOn: { journal, labelsChanged },
    });
  }

  watch(outcome: FederationOutcome): Watching {
    const { lineage, parameters, threshold } = outcome;
    const { schema, scaler, architecture } = lineage;
    const score = (scaled: Float32Array) => this.#engine.score(architecture, parameters, scaled);
    return { outcome, watch: { schema, scaler, score, alarm: { ...DETECTOR.alarm, threshold } } };
  }
}

async function simulateSite(
  plant: LoadedPlant,
  options: DismissalsOptions,
  seed: number,
  index: number,
): Promise<Site> {
  const drifts = index < options.drifting;
  const days: SiteDays = { commissioned: COMMISSIONING_HOURS / 24, watched: options.days, later: options.days };
  const rows = await siteDays(plant, { seed, drift: drifts ? driftNamed(options.drift) : null, days });
  return { id: `site-${index + 1}`, drifts, ...rows };
}

/** The rows of a site after the watched days, chosen by an agent's rules: what nobody dismissed is left out with its surroundings. */
function clientOf({ id, commissioned, watched }: Site, alarms: readonly SiteAlarm[], weight: number): ClientRows {
  const rows = [...commissioned, ...watched];
  const set = trainingSet(
    {
      count: rows.length,
      timesMs: Float64Array.from(rows, ({ timeMs }) => timeMs),
      labels: new Int8Array(rows.length).fill(UNLABELLED),
      imported: new Uint8Array(rows.length),
    },
    {
      quarantineMs: QUARANTINE_MS,
      labels: [],
      alarms: alarms
        .filter(({ site }) => site === id)
        .map(({ raisedAtMs, clearedAtMs, dismissed }) => ({
          ...{ alarmId: `${id}:${raisedAtMs}`, raisedMs: raisedAtMs, clearedMs: clearedAtMs },
          verdict: dismissed ? 'dismissed' : null,
        })),
    },
  );
  const { training, holdout, decided } = set;
  return {
    id,
    rows,
    choice: { training, holdout, weights: Float32Array.from(decided, (is) => (is === 1 ? weight : 1)) },
  };
}

interface AttackedPlant {
  readonly rows: readonly Row[];
  readonly attack: string;
  readonly startMs: number;
  readonly endMs: number;
}

/** Every attack of the catalogue once, at sites that run otherwise than the twin. */
async function attacksOn(plant: LoadedPlant, options: DismissalsOptions, seed: number): Promise<AttackedPlant[]> {
  const drift = driftNamed(options.drift);
  const { config, network } = driftOf(drift, plant);
  const runs: AttackedPlant[] = [];
  for (const [i, attack] of plant.attacks.attacks.entries()) {
    const site = await Plant.open({ config, network, variation: { seed: `${seed} ${i}` } });
    const instance = attackAt(attack, site.nextRowMs + 72 * HOUR_MS);
    drift.operate(site, 6);
    site.schedule(instance);
    const rows: Row[] = [];
    while (site.nextRowMs < instance.endMs) {
      const { timeMs, scada } = site.step();
      rows.push({ timeMs, sequence: rows.length + 1, values: scada });
    }
    site.close();
    runs.push({ rows, attack: attack.name, startMs: instance.startMs, endMs: instance.endMs });
  }
  return runs;
}

async function measure(
  { watch, outcome }: Watching,
  sites: readonly Site[],
  attacks: readonly AttackedPlant[],
  days: number,
): Promise<Measured> {
  const quiet = async (some: readonly Site[]): Promise<Quiet> => {
    const alarms = (await Promise.all(some.map(({ later }) => watchRows(watch, later)))).flat();
    const endMs = Math.max(...some.flatMap(({ later }) => later.at(-1)?.timeMs ?? 0));
    const hours =
      alarms.reduce((sum, { raisedAtMs, clearedAtMs }) => sum + ((clearedAtMs ?? endMs) - raisedAtMs), 0) / HOUR_MS;
    const siteDaysWatched = some.length * days;
    return { falseAlarms: alarms.length / siteDaysWatched, alarmedHours: hours / siteDaysWatched };
  };
  let found = 0;
  for (const { rows, attack, startMs, endMs } of attacks) {
    const run = { attack, seed: 0, fromMs: rows[0]!.timeMs, toMs: endMs };
    if (judge(run, { startMs, endMs, recoveredMs: endMs }, await watchRows(watch, rows)).detected) found++;
  }
  return {
    drifting: await quiet(sites.filter(({ drifts }) => drifts)),
    unchanged: await quiet(sites.filter(({ drifts }) => !drifts)),
    found: found / attacks.length,
    threshold: outcome.threshold,
    round: outcome.model.round,
  };
}

function seedWords({ seed, raised, dismissed, dismissedRows, arms }: SeedResult): string {
  const words = Object.entries(arms).map(
    ([name, { drifting, unchanged, found, round }]) =>
      `  ${name.padEnd(20)} round ${String(round).padEnd(3)} false alarms/day ${drifting.falseAlarms.toFixed(2)} (unchanged ${unchanged.falseAlarms.toFixed(2)})  hours/day ${drifting.alarmedHours.toFixed(2)}  attacks found ${(100 * found).toFixed(0)} %`,
  );
  return [`seed ${seed}: ${raised} false alarms, ${dismissed} dismissed with ${dismissedRows} rows`, ...words].join(
    '\n',
  );
}

/** One line per arm: mean ± deviation over the seeds. */
export function dismissalsTable(results: readonly SeedResult[]): string {
  const names = Object.keys(results[0]?.arms ?? {});
  const spread = (name: string, value: (measured: Measured) => number, digits: number) =>
    spreadWords(
      results.map(({ arms }) => value(arms[name]!)),
      digits,
    );
  return markdownTable(
    [
      '',
      'false alarms/day, changed sites',
      'hours in alarm/day, changed sites',
      'false alarms/day, other sites',
      'attacks found',
      'threshold',
    ],
    names.map((name) => [
      name,
      spread(name, ({ drifting }) => drifting.falseAlarms, 2),
      spread(name, ({ drifting }) => drifting.alarmedHours, 2),
      spread(name, ({ unchanged }) => unchanged.falseAlarms, 2),
      spread(name, ({ found }) => found, 2),
      spread(name, ({ threshold }) => threshold, 2),
    ]),
  );
}

const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
