import { TwinwatchError } from '@twinwatch/core/errors';
import { attackAt, checkAttack } from '../attacks.js';
import { Hydraulics } from '../hydraulics.js';
import { Plant } from '../plant.js';
import type { LoadedPlant } from '../plant-config.js';
import { readControlLogic, type Unexpressed } from './control-statements.js';
import { type DraftTag, draftPlant, type PlantDraft } from './draft-plant.js';
import { attacksText, plantText, readBack, type SensorGrain } from './plant-text.js';

/** An EPANET input file made into a plant that the twin simulates, as far as a network file says what a plant does. */

export interface PlantFromNetwork {
  /** Texts of the two files. */
  readonly plant: string;
  readonly attacks: string;
  /** As the twin loads them. */
  readonly loaded: LoadedPlant;
  readonly unexpressed: readonly Unexpressed[];
  readonly remarks: readonly string[];
  /** EPANET's own, in two simulated days, with the number of instants. */
  readonly warnings: ReadonlyMap<string, number>;
}

export interface NetworkFile {
  readonly text: string;
  /** For people. */
  readonly path: string;
  /** As plant.yaml is to name it. */
  readonly reference: string;
  /** File name of the catalogue, as plant.yaml is to name it. */
  readonly attacks: string;
  readonly name: string;
}

const TRIAL_ROWS = 2 * 24 * 4;

/**
 * @throws TwinwatchError PLANT_NETWORK_INVALID with file and line where EPANET rejects the text, and where nothing in it can be switched;
 * PLANT_HYDRAULICS_FAILED where two days of it cannot be simulated.
 */
export async function plantFromNetwork(file: NetworkFile): Promise<PlantFromNetwork> {
  const draft = await readDraft(file);
  const attacks = attacksText(draft, file.name);
  const textWith = (grainOf: (tag: DraftTag) => SensorGrain) =>
    plantText({ draft, name: file.name, network: file.reference, attacks: file.attacks, grainOf });
  const guessed = readBack(
    textWith(() => ({ resolution: 1, noise: 0, quantum: 0 })),
    attacks,
  );
  const { largest, warnings } = await tryOut({ ...guessed, network: file.text });
  const plant = textWith((tag) => grain(tag, draft, largest));
  const read = readBack(plant, attacks);
  for (const attack of read.attacks.attacks) checkAttack(read.config, attackAt(attack, 0));
  return {
    ...{ plant, attacks, warnings },
    loaded: { ...read, network: file.text },
    unexpressed: draft.unexpressed,
    remarks: draft.remarks,
  };
}

async function readDraft({ text, path }: NetworkFile): Promise<PlantDraft> {
  const hydraulics = await Hydraulics.open(text, path);
  try {
    const network = {
      structure: hydraulics.structure(),
      text,
      patternIndex: (id: string) => hydraulics.patternIndex(id),
    };
    const draft = draftPlant(network, readControlLogic(text));
    if (draft !== null) return draft;
  } finally {
    hydraulics.close();
  }
  throw new TwinwatchError(
    'PLANT_NETWORK_INVALID',
    `${path}: nothing in it can be switched: it has no pump without a PATTERN, no valve, and no plain pipe at a reservoir or tank. ` +
      'Add one, or control a link under [CONTROLS]',
    { context: { file: path } },
  );
}

/** Tag name → largest value without its sign in two days, noise and variation included. */
async function tryOut(loaded: LoadedPlant): Promise<{ largest: Map<string, number>; warnings: Map<string, number> }> {
  const { config, network } = loaded;
  const plant = await Plant.open({ config, network, variation: { seed: 1 } });
  try {
    const largest = new Map(config.tags.map(({ name }) => [name, 0]));
    for (let row = 0; row < TRIAL_ROWS; row++) {
      const { physical } = plant.step();
      for (const [i, { name }] of config.tags.entries())
        largest.set(name, Math.max(largest.get(name)!, Math.abs(physical[i]!)));
    }
    return { largest, warnings: plant.warnings() };
  } finally {
    plant.close();
  }
}

/** Shares of the largest value, and of the resolution, as in the reference plant. */
const RESOLUTION_SHARE = { level: 0.01, pressure: 0.01, flow: 0.02 };
const NOISE_SHARE = { level: 0.2, pressure: 0.2, flow: 0.3 };
const QUANTUM_SHARE = { level: 0, pressure: 0.02, flow: 0.1 };

function grain({ measures, name }: DraftTag, { tags }: PlantDraft, largest: ReadonlyMap<string, number>): SensorGrain {
  if (measures === 'status') return { resolution: 1, noise: 0, quantum: 0 };
  const alike = tags.filter((tag) => tag.measures === measures).map((tag) => largest.get(tag.name) ?? 0);
  // What stood still for two days is measured as the largest of its kind.
  const own = largest.get(name) ?? 0;
  const size = own > 0.01 * Math.max(...alike) ? own : Math.max(...alike);
  const resolution = roundValue(RESOLUTION_SHARE[measures] * (size > 0 ? size : 1));
  const share = (of: number) => Number((of * resolution).toPrecision(2));
  return { resolution, noise: share(NOISE_SHARE[measures]), quantum: share(QUANTUM_SHARE[measures]) };
}

/** The nearest below of 1, 2 and 5 times a power of ten. */
function roundValue(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const digit = [5, 2, 1].find((candidate) => candidate <= (value / power) * (1 + 1e-9)) ?? 1;
  return Number((digit * power).toPrecision(1));
}
