import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, resolve } from 'node:path';
import { serverConfig } from '@twinwatch/core/config/server';
import type { Row } from '@twinwatch/core/scada/sample';
import { createWorkerEngine } from '@twinwatch/core/training/engine-host';
import { type FederationOutcome, runFederation } from '@twinwatch/twin-server/aggregator/in-process';
import { attackAt, type CatalogueAttack } from '@twinwatch/twin-server/twin/attacks';
import { EpanetTwin } from '@twinwatch/twin-server/twin/epanet-twin';
import { Plant } from '@twinwatch/twin-server/twin/plant';
import { type LoadedPlant, loadPlant } from '@twinwatch/twin-server/twin/plant-config';
import { ProgressLine } from '../demo/progress-line.js';
import { COMMISSIONING_HOURS, DETECTOR, ROUNDS, siteSeed, TWIN } from '../demo/reference-detector.js';
import { plantDuration } from '../demo/wording.js';
import { systemClock } from '../processes/node-runtime.js';
import { readTextFile } from '../processes/read-config.js';
import { fromRepository } from '../processes/repository.js';
import { judge, type RunOutcome, summarise } from './outcome.js';
import { type Watch, watchRows } from './watch-run.js';

/** Every attack of a catalogue, on several plants each, without sockets and wall clock: nothing is tuned to the one that the demonstration shows. */

export interface CatalogueOptions {
  readonly plant: string;
  readonly seeds: number;
  readonly agents: number;
  readonly rounds: number;
  readonly out?: string;
}

const HOUR_MS = 3_600_000;
/** Before the attack: concealment replays up to two days, and alarms in this time are false ones. */
const BEFORE_HOURS = 72;
/** After the attack in which the plant may still recover from it, and what is watched after that. */
const RECOVERY_HOURS = 24;
const AFTER_HOURS = 24;
/** Far from the seeds of the plants that are learned from. */
const FIRST_WATCH_SEED = 5_001;

/** @throws TwinwatchError CONFIG_*, PLANT_*, TWIN_*, LEARNER_* */
export async function runCatalogue(options: CatalogueOptions): Promise<void> {
  const line = new ProgressLine(process.stdout, () => systemClock.monotonic());
  const plant = await loadPlant(fromRepository(options.plant), readTextFile);
  const { outcome, engine } = await learn(options, plant, line);
  const { lineage, parameters, threshold } = outcome;
  const watch: Watch = {
    schema: lineage.schema,
    scaler: lineage.scaler,
    alarm: { ...DETECTOR.alarm, threshold },
    score: (scaled) => engine.score(lineage.architecture, parameters, scaled),
  };
  const outcomes: RunOutcome[] = [];
  const runs = plant.attacks.attacks.length * options.seeds;
  for (const attack of plant.attacks.attacks) {
    for (let i = 0; i < options.seeds; i++) {
      outcomes.push(await watchAttack(plant, attack, FIRST_WATCH_SEED + i, watch));
      line.live(`watching: ${outcomes.length} of ${runs} plants under attack`);
    }
    line.say(attackLine(summarise(outcomes).at(-1)!));
  }
  await engine.close();
  line.end();
  tellTotals(outcomes, line);
  if (options.out === undefined) return;
  const file = resolve(options.out);
  mkdirSync(dirname(file), { recursive: true });
  const { modelVersion, round, rocAuc } = outcome.model;
  writeFileSync(
    file,
    `${JSON.stringify({ options, model: { modelVersion, round, rocAuc, threshold }, summary: summarise(outcomes), runs: outcomes }, null, 1)}\n`,
  );
  line.say(`results are in ${file}`);
}

async function learn(options: CatalogueOptions, plant: LoadedPlant, line: ProgressLine) {
  const source = new EpanetTwin({ plant, threads: Math.min(2, availableParallelism()) });
  const twin = await source.generate(
    { seed: TWIN.seed, episodes: TWIN.episodes, hoursPerEpisode: TWIN.days * 24, attackShare: 0.5 },
    ({ episodesDone, episodes }) => line.live(`simulating the twin: ${episodesDone} of ${episodes} episodes`),
  );
  line.say(`twin simulated: ${twin.episodes.length} episodes of ${TWIN.days} days`);
  const clients = [];
  for (let i = 0; i < options.agents; i++) {
    clients.push({ id: `site-${i + 1}`, rows: await normalRows(plant, siteSeed(i)) });
    line.live(`commissioning: ${i + 1} of ${options.agents} plants`);
  }
  const {
    detector,
    rounds,
    twin: twinConfig,
  } = serverConfig.parse({
    federation: 'catalogue',
    broker: { url: 'mqtt://in-process' },
    dataDir: '.',
    twin: { plant: options.plant, ...TWIN },
    detector: DETECTOR,
    rounds: { ...ROUNDS, count: options.rounds },
  });
  const engine = await createWorkerEngine({ kind: 'auto', log: console });
  const outcome: FederationOutcome = await runFederation({
    clients,
    twin,
    detector,
    rounds,
    validationShare: twinConfig.validationShare,
    seed: TWIN.seed,
    engine,
    now: () => systemClock.now(),
    log: SILENT,
    onRound: ({ round, validation }) =>
      line.live(`round ${round} of ${options.rounds}, PR AUC ${validation?.prAuc.toFixed(3) ?? '?'}`),
  });
  const { modelVersion, round, rocAuc, threshold, provenance } = outcome.model;
  line.say(
    `model ${modelVersion}, round ${round}: PR AUC ${provenance?.prAuc.toFixed(3) ?? '?'}, ROC AUC ${rocAuc.toFixed(3)} on the twin's validation episodes, threshold ${threshold.toFixed(3)}`,
  );
  return { outcome, engine };
}

async function normalRows({ config, network }: LoadedPlant, seed: number): Promise<Row[]> {
  const plant = await Plant.open({ config, network, variation: { seed } });
  const count = Math.round((COMMISSIONING_HOURS * HOUR_MS) / config.interval);
  const rows = Array.from({ length: count }, (_, i) => {
    const { timeMs, scada } = plant.step();
    return { timeMs, sequence: i + 1, values: scada };
  });
  plant.close();
  return rows;
}

async function watchAttack(
  { config, network }: LoadedPlant,
  attack: CatalogueAttack,
  seed: number,
  watch: Watch,
): Promise<RunOutcome> {
  const plant = await Plant.open({ config, network, variation: { seed } });
  const fromMs = plant.nextRowMs;
  const instance = attackAt(attack, fromMs + BEFORE_HOURS * HOUR_MS);
  const { startMs, endMs } = instance;
  plant.schedule(instance);
  const rows: Row[] = [];
  const toMs = endMs + (RECOVERY_HOURS + AFTER_HOURS) * HOUR_MS;
  while (plant.nextRowMs < toMs) {
    const { timeMs, scada } = plant.step();
    rows.push({ timeMs, sequence: rows.length + 1, values: scada });
  }
  plant.close();
  const alarms = await watchRows(watch, rows);
  return judge(
    { attack: attack.name, seed, fromMs, toMs },
    { startMs, endMs, recoveredMs: endMs + RECOVERY_HOURS * HOUR_MS },
    alarms,
  );
}

function attackLine({
  attack,
  runs,
  detected,
  medianDelayMs,
  longestDelayMs,
  falseAlarms,
}: ReturnType<typeof summarise>[number]): string {
  const delay = (ms: number | null) => (ms === null ? '—' : plantDuration(ms));
  return `${attack.padEnd(24)} detected ${detected}/${runs}   delay median ${delay(medianDelayMs).padEnd(11)} longest ${delay(longestDelayMs).padEnd(11)} false alarms ${falseAlarms}`;
}

function tellTotals(outcomes: readonly RunOutcome[], line: ProgressLine): void {
  const detected = outcomes.filter((outcome) => outcome.detected).length;
  const falseAlarms = outcomes.reduce((sum, outcome) => sum + outcome.falseAlarms, 0);
  const quietDays = outcomes.reduce((sum, { quietMs }) => sum + quietMs, 0) / (24 * HOUR_MS);
  line.say(
    `detected ${detected} of ${outcomes.length}; ${falseAlarms} false alarms in ${quietDays.toFixed(0)} quiet plant days (${(falseAlarms / quietDays).toFixed(3)} a day)`,
  );
}

const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
