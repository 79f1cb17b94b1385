import { readFile, rename, writeFile } from 'node:fs/promises';
import { Moments } from '@twinwatch/core/features/moments';
import type { FeatureSchema } from '@twinwatch/core/features/spec';
import { decodeCbor, encodeCbor } from '@twinwatch/core/wire/cbor';
import type { LabelledFeatures, TwinFeatures } from './twin-rows.js';

/** The twin's features of the last start and the schema fitted to its rows, so that a restart under the same configuration does not simulate again. */

const MAXIMUM_BYTES = 2 ** 31;

/** What a start needs of the twin. */
export interface PreparedTwin {
  readonly schema: FeatureSchema;
  readonly features: TwinFeatures;
}

interface Stored {
  readonly key: string;
  readonly schema: FeatureSchema;
  readonly training: StoredRows;
  readonly validation: StoredRows;
  readonly moments: { readonly count: number; readonly mean: number[]; readonly m2: number[] };
}

interface StoredRows {
  readonly features: Uint8Array;
  readonly labels: Uint8Array;
}

/** Null where the file is absent, damaged, or of another key: it is only a cache. */
export async function readTwinCache(file: string, key: string): Promise<PreparedTwin | null> {
  try {
    const stored = decodeCbor(await readFile(file), MAXIMUM_BYTES) as Stored;
    if (stored.key !== key) return null;
    return {
      schema: stored.schema,
      features: {
        training: unpack(stored.training),
        validation: unpack(stored.validation),
        moments: Moments.merge([stored.moments]),
      },
    };
  } catch {
    return null;
  }
}

export async function writeTwinCache(file: string, key: string, twin: PreparedTwin): Promise<void> {
  const stored: Stored = {
    key,
    schema: twin.schema,
    training: pack(twin.features.training),
    validation: pack(twin.features.validation),
    moments: twin.features.moments.toJSON(),
  };
  const partial = `${file}.partial`;
  await writeFile(partial, encodeCbor(stored));
  await rename(partial, file);
}

function pack({ features, labels }: LabelledFeatures): StoredRows {
  return { features: bytesOf(features), labels: bytesOf(labels) };
}

function unpack({ features, labels }: StoredRows): LabelledFeatures {
  return { features: floatsOf(features), labels: floatsOf(labels) };
}

/** In the machine's own byte order: the file stays where it was written. */
function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** Copies, since a byte string within a message may start at an odd address; `slice` of a Node Buffer would not. */
function floatsOf(bytes: Uint8Array): Float32Array {
  return new Float32Array(new Uint8Array(bytes).buffer);
}
