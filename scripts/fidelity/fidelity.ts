import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { siteProfile } from '@twinwatch/core/calibration/site-profile';
import type { Row } from '@twinwatch/core/scada/sample';
import { withDemands } from '@twinwatch/twin-server/twin/demand/demand-file';
import { type DemandFit, fitDemands } from '@twinwatch/twin-server/twin/demand/fit-demands';
import { balancesOf } from '@twinwatch/twin-server/twin/demand/history';
import { EpanetTwin } from '@twinwatch/twin-server/twin/epanet-twin';
import { Plant } from '@twinwatch/twin-server/twin/plant';
import { type LoadedPlant, loadPlant, plantTags } from '@twinwatch/twin-server/twin/plant-config';
import type { RecordingColumns } from '@twinwatch/twin-server/twin/recording';
import { ProgressLine } from '../demo/progress-line.js';
import { readRecording } from '../plant/recording.js';
import { systemClock } from '../processes/node-runtime.js';
import { readTextFile } from '../processes/read-config.js';
import { fromRepository } from '../processes/repository.js';
import { compare } from './compare.js';
import type { FidelityData } from './fidelity-data.js';
import { fidelityPage } from './page.js';
import { sampleOf } from './sample.js';
import { summaryTable } from './summary.js';

export interface FidelityOptions {
  /** Without it another instance of the plant stands for the real one. */
  readonly history?: string;
  readonly network?: string;
  readonly plant: string;
  readonly out: string;
  readonly seed: number;
  readonly days: number;
  readonly threads: number;
  readonly columns: RecordingColumns;
  /** As it was typed, for the report. */
  readonly command: string;
}

const DAY_MS = 86_400_000;
const WEEK_MS = 7 * DAY_MS;
/** Days of one simulated stretch. */
const EPISODE_DAYS = 7;
/** The instance that stands for the real plant has a seed that no twin has. */
const STAND_IN_SEED = 'stand-in for the real plant';

/**
 * Compares the twin with a real plant, before and after its demands are fitted. Weeks are dealt out in turn: the demands are fitted to one half of the
 * real rows, and everything is compared with the other half, the first half included.
 * @throws TwinwatchError CONFIG_*, FEED_INVALID, PLANT_*
 */
export async function runFidelity(options: FidelityOptions): Promise<void> {
  const line = new ProgressLine(process.stdout, () => systemClock.monotonic());
  const plant = await loadPlant(fromRepository(options.plant), readTextFile, options.network);
  const tags = plantTags(plant.config);
  const intervalMs = plant.config.interval;
  const real = await realRows(plant, options, line);
  const originMs = Date.parse(plant.config.start);
  const half = (which: 0 | 1) => weeksOf(real.rows, originMs).filter((_, week) => week % 2 === which);
  const [fitted, held] = [half(0), half(1)];
  const network = await balancesOf(plant);
  const profile = siteProfile(fitted.flat(), tags, intervalMs, { originMs, balances: network.balances });
  const fit = fitDemands(plant.config, network, profile);
  line.say(
    `demands fitted: day noise ${fit.dayNoise}, hour noise ${fit.hourNoise}; ${network.unseen.length} parts of the network not seen`,
  );

  const twins: [string, LoadedPlant][] = [
    ['twin as configured', plant],
    ['twin fitted', { ...plant, config: withDemands(plant.config, fit) }],
  ];
  const reference = { sample: sampleOf(held, tags.length, intervalMs), tags, intervalMs, seed: options.seed };
  const comparisons = [
    { name: 'real, other half', comparison: compare(reference, sampleOf(fitted, tags.length, intervalMs)) },
  ];
  let twinRows = 0;
  for (const [name, each] of twins) {
    const rows = await twinWeeks(each, options, (share) =>
      line.live(`${name}: ${Math.round(100 * share)} % simulated`),
    );
    const sample = sampleOf(rows, tags.length, intervalMs);
    twinRows = sample.count;
    comparisons.push({ name, comparison: compare(reference, sample) });
    line.say(`${name}: ${sample.count} rows compared`);
  }
  const data: FidelityData = {
    plant: plant.config.name,
    real: real.name,
    command: options.command,
    seed: options.seed,
    rows: { fittedTo: fitted.flat().length, compared: reference.sample.count, twin: twinRows },
    tags: tags.map(({ name, unit, kind }) => ({ name, unit, kind })),
    comparisons,
    demands: demandWords(fit),
  };
  await mkdir(options.out, { recursive: true });
  const [html, json] = [join(options.out, 'fidelity.html'), join(options.out, 'fidelity.json')];
  await writeFile(
    json,
    `${JSON.stringify(data, (_, value) => (value instanceof Float64Array ? [...value] : value))}\n`,
  );
  await writeFile(html, fidelityPage(data));
  line.end();
  process.stdout.write(`\n${summaryTable(data)}\n`);
  line.say(`report: ${html} and ${json}`);
}

async function realRows(
  plant: LoadedPlant,
  options: FidelityOptions,
  line: ProgressLine,
): Promise<{ rows: readonly Row[]; name: string }> {
  const { config, network } = plant;
  if (options.history !== undefined) {
    const recording = await readRecording(
      options.history,
      config.tags.map(({ name }) => name),
      options.columns,
    );
    for (const warning of recording.warnings) line.say(`  ${warning}`);
    const rows = recording.rows.filter((_, i) => recording.labels?.[i] !== 1);
    line.say(`${options.history}: ${rows.length} normal rows`);
    return { rows, name: `${options.history.split('/').at(-1)} (sha256 ${recording.sha256.slice(0, 12)})` };
  }
  const instance = await Plant.open({ config, network, variation: { seed: `${options.seed}/${STAND_IN_SEED}` } });
  const count = ((options.days * DAY_MS) / config.interval) | 0;
  const skip = (2 * DAY_MS) / config.interval;
  const rows: Row[] = [];
  for (let i = 0; i < count + skip; i++) {
    const { timeMs, scada } = instance.step();
    if (i >= skip) rows.push({ timeMs, sequence: i, values: scada });
    if (i % 2_000 === 0) line.live(`stand-in for the real plant: ${Math.round((100 * i) / count)} % simulated`);
  }
  instance.close();
  const digest = createHash('sha256').update(JSON.stringify(config)).digest('hex').slice(0, 12);
  return { rows, name: `another instance of ${config.name} (${digest}), ${options.days} days` };
}

/** Rows by week since the start of the plant's patterns, in the order of time. */
function weeksOf(rows: readonly Row[], originMs: number): Row[][] {
  const weeks = new Map<number, Row[]>();
  for (const row of rows) {
    const week = Math.floor((row.timeMs - originMs) / WEEK_MS);
    const known = weeks.get(week);
    if (known === undefined) weeks.set(week, [row]);
    else known.push(row);
  }
  return [...weeks.values()];
}

async function twinWeeks(
  plant: LoadedPlant,
  { seed, days, threads }: FidelityOptions,
  onProgress: (share: number) => void,
): Promise<readonly (readonly Row[])[]> {
  const twin = new EpanetTwin({ plant, threads });
  const episodes = Math.max(1, Math.round(days / EPISODE_DAYS));
  const request = { seed, episodes, hoursPerEpisode: 24 * EPISODE_DAYS, attackShare: 0 };
  const generated = await twin.generate(request, ({ episodesDone }) => onProgress(episodesDone / episodes));
  return generated.episodes.map(({ rows }) => rows);
}

function demandWords(fit: DemandFit): [string, string][] {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  return [
    ...Object.entries(fit.multipliers).map(([name, values]): [string, string] => [
      `mean multiplier of ${name}`,
      `${mean(values).toFixed(3)} (${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)})`,
    ]),
    ['noise from day to day', String(fit.dayNoise)],
    ['noise within the day', `${fit.hourNoise}, memory ${(fit.hourCorrelationMs / 3_600_000).toFixed(1)} h`],
    ['shared by the districts', String(fit.shared)],
    [
      'season',
      fit.season === null
        ? 'not told: less than 300 days'
        : `${fit.season.amplitude}, peak on day ${fit.season.peakDay}`,
    ],
  ];
}
