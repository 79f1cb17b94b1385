import { createRandom, type Random } from '@twinwatch/core/learning/random';
import type { AttackCatalogue, AttackInstance } from './attacks.js';
import { Plant, type PlantRow } from './plant.js';
import type { LoadedPlant } from './plant-config.js';
import { drawRandomAttack } from './random-attacks.js';
import type { TwinRequest } from './twin-source.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Rows before an episode's first: levels settle, and a replay finds something to loop. */
const WARM_UP_MS = 48 * HOUR_MS;
/** Days of the year on which an episode may begin. */
const DAYS = 364;
/** After an attack the plant counts as recovering for at least this long. */
const SHORTEST_RECOVERY_MS = HOUR_MS;
/** A level is back when it is inside its normal range widened by this share of it. */
const RANGE_MARGIN = 0.02;

/** One episode in flat arrays, as it crosses from the worker. */
export interface EpisodeRows {
  /** [rows × tags], row-major, as SCADA saw them. */
  readonly values: Float64Array;
  readonly timesMs: Float64Array;
  readonly labels: Uint8Array;
  readonly excluded: Uint8Array;
  readonly attackNames: (string | null)[];
  readonly warnings: Map<string, number>;
}

/**
 * Runs episode number `index` of the request's seed: a plant instance of its own, warmed up, then normal running, and where the
 * episode is an attacked one, attacks drawn at random with normal running between them.
 * @throws TwinwatchError PLANT_*
 */
export async function simulateEpisode(plant: LoadedPlant, request: TwinRequest, index: number): Promise<EpisodeRows> {
  const { config, network, attacks } = plant;
  const seed = `${request.seed}/episode ${index}`;
  const random = createRandom(seed).fork('attacks');
  const startMs = Date.parse(config.start) + random.integer(DAYS) * DAY_MS;
  const instance = await Plant.open({ config, network, variation: { seed }, startMs });
  try {
    const levels = new NormalLevels(config.tags.flatMap(({ measures }, i) => (measures === 'level' ? [i] : [])));
    while (instance.nextRowMs < startMs + WARM_UP_MS) levels.learn(instance.step());
    const count = Math.round((request.hoursPerEpisode * HOUR_MS) / config.interval);
    const schedule = isAttacked(request.attackShare, index)
      ? new AttackSchedule(plant, random, instance.nextRowMs)
      : null;
    return record(instance, count, config.tags.length, levels, schedule, attacks.random);
  } finally {
    instance.close();
  }
}

/** Attacked episodes are spread evenly over the sequence, so that any part of it has the share that was asked for. */
export function isAttacked(share: number, index: number): boolean {
  return Math.floor((index + 1) * share + 1e-9) > Math.floor(index * share + 1e-9);
}

function record(
  instance: Plant,
  count: number,
  tags: number,
  levels: NormalLevels,
  schedule: AttackSchedule | null,
  { recovery: longestRecoveryMs }: AttackCatalogue['random'],
): EpisodeRows {
  const values = new Float64Array(count * tags);
  const timesMs = new Float64Array(count);
  const labels = new Uint8Array(count);
  const excluded = new Uint8Array(count);
  const attackNames: (string | null)[] = [];
  let attackEndedMs: number | null = null;
  for (let i = 0; i < count; i++) {
    const attack = attackEndedMs === null ? schedule?.due(instance.nextRowMs) : undefined;
    if (attack !== undefined) instance.schedule(attack);
    const row = instance.step();
    values.set(row.scada, i * tags);
    timesMs[i] = row.timeMs;
    attackNames.push(row.attack);
    if (row.attack !== null) {
      labels[i] = 1;
      excluded[i] = row.visible ? 0 : 1;
      attackEndedMs = row.timeMs;
      continue;
    }
    if (attackEndedMs !== null) {
      const sinceMs = row.timeMs - attackEndedMs;
      if (sinceMs <= SHORTEST_RECOVERY_MS || (sinceMs <= longestRecoveryMs && !levels.contain(row))) {
        excluded[i] = 1;
        continue;
      }
      attackEndedMs = null;
      schedule?.wait(row.timeMs);
    }
    levels.learn(row);
  }
  return { values, timesMs, labels, excluded, attackNames, warnings: instance.warnings() };
}

/** When the next attack of an episode begins: a gap drawn at random after the plant has recovered from the one before. */
class AttackSchedule {
  readonly #plant: LoadedPlant;
  readonly #random: Random;
  #nextMs = 0;

  constructor(plant: LoadedPlant, random: Random, nowMs: number) {
    this.#plant = plant;
    this.#random = random;
    this.wait(nowMs);
  }

  wait(nowMs: number): void {
    const [shortest, longest] = this.#plant.attacks.random.gap;
    this.#nextMs = nowMs + shortest + (longest - shortest) * this.#random.next();
  }

  /** The attack that begins with the row at `rowMs`, if one does. */
  due(rowMs: number): AttackInstance | undefined {
    if (rowMs < this.#nextMs) return undefined;
    this.#nextMs = Number.POSITIVE_INFINITY;
    return drawRandomAttack(this.#plant.config, this.#random, rowMs, this.#plant.attacks.random);
  }
}

/** The range of every tank level in normal running. */
class NormalLevels {
  readonly #columns: readonly number[];
  readonly #lowest: number[];
  readonly #highest: number[];

  constructor(columns: readonly number[]) {
    this.#columns = columns;
    this.#lowest = columns.map(() => Number.POSITIVE_INFINITY);
    this.#highest = columns.map(() => Number.NEGATIVE_INFINITY);
  }

  learn({ physical }: PlantRow): void {
    for (const [i, column] of this.#columns.entries()) {
      this.#lowest[i] = Math.min(this.#lowest[i]!, physical[column]!);
      this.#highest[i] = Math.max(this.#highest[i]!, physical[column]!);
    }
  }

  contain({ physical }: PlantRow): boolean {
    return this.#columns.every((column, i) => {
      const margin = RANGE_MARGIN * (this.#highest[i]! - this.#lowest[i]!);
      return physical[column]! >= this.#lowest[i]! - margin && physical[column]! <= this.#highest[i]! + margin;
    });
  }
}
