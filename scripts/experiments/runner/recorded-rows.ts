import { join } from 'node:path';
import { TwinwatchError } from '@twinwatch/core/errors';
import { episodesOf } from '@twinwatch/core/evaluation/episodes';
import type { LoadedPlant } from '@twinwatch/twin-server/twin/plant-config';
import { plantTags } from '@twinwatch/twin-server/twin/plant-config';
import type { TwinEpisode } from '@twinwatch/twin-server/twin/twin-source';
import { type Recording, readRecording } from '../../plant/recording.js';
import type { RecordedData } from './runs.js';

/** The real plant's stretches from BATADAL's files. */

export const BATADAL_FILES = {
  normal: 'BATADAL_dataset03.csv',
  attacked: 'BATADAL_dataset04.csv',
  network: 'ctown.inp',
} as const;

const COLUMNS = { dateOrder: 'auto', columns: {}, delimiter: ',' } as const;

export interface RecordedStretches {
  readonly normal: readonly TwinEpisode[];
  /** As many as there are folds, each with attacks; cut half-way between two attacks. */
  readonly attacked: readonly TwinEpisode[];
  readonly test: TwinEpisode | null;
}

/** @throws TwinwatchError FEED_INVALID */
export async function recordedStretches(
  plant: LoadedPlant,
  data: RecordedData,
  parts: { readonly normal: number; readonly attacked: number },
): Promise<RecordedStretches> {
  const names = plantTags(plant.config).map(({ name }) => name);
  const read = (file: string) => readRecording(file, names, COLUMNS);
  const normal = await read(join(data.folder, BATADAL_FILES.normal));
  const attacked = await read(join(data.folder, BATADAL_FILES.attacked));
  const test = data.testFile === null ? null : await read(data.testFile);
  const length = normal.rows.length;
  const even = Array.from({ length: parts.normal - 1 }, (_, i) => Math.floor(((i + 1) * length) / parts.normal));
  return {
    normal: cut(normal, even),
    attacked: cut(attacked, bordersBetweenAttacks(labelsOf(attacked), parts.attacked)),
    test: test === null ? null : cut(test, [])[0]!,
  };
}

/** Rows at which `parts` stretches with about as many attacks each begin, the first left out; each half-way between two attacks. */
export function bordersBetweenAttacks(labels: ArrayLike<number>, parts: number): number[] {
  const attacks = episodesOf(labels);
  if (attacks.length < parts)
    throw new TwinwatchError(
      'FEED_INVALID',
      `${attacks.length} labelled attacks cannot be left out in ${parts} turns; give a file with at least ${parts}`,
    );
  return Array.from({ length: parts - 1 }, (_, i) => {
    const next = Math.round(((i + 1) * attacks.length) / parts);
    return Math.floor((attacks[next - 1]![1] + attacks[next]![0]) / 2);
  });
}

const labelsOf = ({ labels, rows }: Recording): Uint8Array =>
  Uint8Array.from({ length: rows.length }, (_, i) => (labels?.[i] === 1 ? 1 : 0));

function cut(recording: Recording, borders: readonly number[]): TwinEpisode[] {
  const { rows } = recording;
  const labels = labelsOf(recording);
  const excluded = Uint8Array.from({ length: rows.length }, (_, i) =>
    recording.labels !== null && recording.labels !== undefined && recording.labels[i] === null ? 1 : 0,
  );
  const edges = [0, ...borders, rows.length];
  return edges.slice(1).map((to, i) => {
    const from = edges[i]!;
    const own = labels.subarray(from, to);
    const numbers = new Map(
      episodesOf(own).flatMap(([start, end], n) =>
        Array.from({ length: end - start }, (_, k) => [start + k, n] as const),
      ),
    );
    return {
      rows: rows.slice(from, to),
      labels: own,
      excluded: excluded.subarray(from, to),
      attackNames: Array.from(own, (_, row) => (numbers.has(row) ? `attack ${i + 1}.${numbers.get(row)! + 1}` : null)),
    };
  });
}
