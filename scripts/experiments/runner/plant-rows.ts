import { createRandom } from '@twinwatch/core/learning/random';
import type { Row } from '@twinwatch/core/scada/sample';
import { EpanetTwin } from '@twinwatch/twin-server/twin/epanet-twin';
import type { LoadedPlant } from '@twinwatch/twin-server/twin/plant-config';
import type { TwinEpisode, TwinRows } from '@twinwatch/twin-server/twin/twin-source';
import { driftNamed, driftOf } from '../drifting-site.js';
import type { TwinQuality } from './experiment-config.js';
import type { RunSetting } from './runs.js';

/** Rows of the plant and of its twin, simulated; in what the two differ is data. */

/** Seeds that no twin of an experiment has. */
const FIRST_PLANT_SEED = 50_000;

/** The real plant's stretches: every one at a site of its own, which differ as the plant file says. @throws TwinwatchError PLANT_*, TWIN_* */
export function simulatePlant(
  plant: LoadedPlant,
  setting: RunSetting,
  twin: TwinQuality,
  seed: number,
): Promise<TwinRows> {
  const changed = twin.plantChange === 'none' ? plant : { ...plant, ...driftOf(driftNamed('demand'), plant) };
  const { sites: episodes, siteDays, attackShare } = setting;
  const request = { seed: FIRST_PLANT_SEED + seed, episodes, hoursPerEpisode: 24 * siteDays, attackShare };
  return new EpanetTwin({ plant: changed }).generate(request, () => undefined);
}

/** @throws TwinwatchError PLANT_*, TWIN_* */
export async function simulateTwin(
  plant: LoadedPlant,
  setting: RunSetting,
  twin: TwinQuality,
  seed: number,
): Promise<TwinRows> {
  const { config, attacks } = plant;
  const families = attacks.random.families.filter((family) => !twin.missingFamilies.includes(family));
  // Where deceiving SCADA is missing, concealment of other attacks would show it all the same.
  const concealed = families.includes('scada') ? attacks.random.concealed : 0;
  const [lowest, highest] = config.variation.demand;
  const factor = 1 + twin.demandError;
  const believed: LoadedPlant = {
    ...plant,
    config: { ...config, variation: { ...config.variation, demand: [lowest * factor, highest * factor] } },
    attacks: { ...attacks, random: { ...attacks.random, families, concealed } },
  };
  const { twinEpisodes: episodes, twinDays, attackShare } = setting;
  const rows = await new EpanetTwin({ plant: believed }).generate(
    { seed, episodes, hoursPerEpisode: 24 * twinDays, attackShare },
    () => undefined,
  );
  if (twin.sensorBias === 0 && twin.noise === 0) return rows;
  return { ...rows, episodes: misread(rows, twin, seed) };
}

/** Every tag but states is off by its bias and noise, in standard deviations of its normal rows. */
function misread({ tags, episodes }: TwinRows, { sensorBias, noise }: TwinQuality, seed: number): TwinEpisode[] {
  const random = createRandom(`${seed}:misread`);
  const deviations = tags.map((_, tag) => deviationOf(episodes, tag));
  const biases = deviations.map((deviation) => (random.next() < 0.5 ? -1 : 1) * sensorBias * deviation);
  return episodes.map((episode) => ({
    ...episode,
    rows: episode.rows.map((row): Row => {
      const values = Float64Array.from(row.values, (value, tag) =>
        tags[tag]!.kind === 'status' ? value : value + biases[tag]! + noise * deviations[tag]! * random.normal(),
      );
      return { ...row, values };
    }),
  }));
}

function deviationOf(episodes: readonly TwinEpisode[], tag: number): number {
  let [count, sum, squares] = [0, 0, 0];
  for (const { rows, labels } of episodes)
    for (const [i, { values }] of rows.entries()) {
      if (labels[i] === 1) continue;
      count++;
      sum += values[tag]!;
      squares += values[tag]! ** 2;
    }
  return Math.sqrt(Math.max(0, squares / count - (sum / count) ** 2));
}
