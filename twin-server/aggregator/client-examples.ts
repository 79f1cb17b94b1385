import { extractAll, inputCount } from '@twinwatch/core/features/extractor';
import { Moments } from '@twinwatch/core/features/moments';
import type { FeatureSchema } from '@twinwatch/core/features/spec';
import type { Row } from '@twinwatch/core/scada/sample';

export interface ClientRows {
  readonly id: string;
  /** In the order of time; all of them may be trained on. */
  readonly rows: readonly Row[];
  /** [rows], 1 under attack; every row counts as normal where absent. */
  readonly labels?: ArrayLike<number>;
  /** Which rows are learned from, as an agent's rules choose them; all but the newest fifth where absent. */
  readonly choice?: RowChoice;
}

/** Indices of rows, oldest first. */
export interface RowChoice {
  readonly training: Iterable<number>;
  /** Normal rows that are scored and never trained on. */
  readonly holdout: Iterable<number>;
  /** [rows], what a row counts for in a fit. */
  readonly weights: ArrayLike<number>;
}

/** A client's rows as features in engineering units: nothing of a federation changes them, so that several may share them. */
export interface ClientExamples {
  readonly id: string;
  readonly inputs: number;
  /** [count × inputs]. */
  readonly features: Float32Array;
  /** [count], 0 or 1. */
  readonly labels: Float32Array;
  /** [count]; all 1 where null. */
  readonly weights: Float32Array | null;
  /** [count] 1 for rows that nobody has labelled; none where absent. */
  readonly assumed?: Uint8Array;
  /** Of all normal rows, training and held back, for calibration. */
  readonly moments: Moments;
  /** Places in features and labels. */
  readonly training: readonly number[];
  /** Places of normal rows that are scored and never trained on. */
  readonly holdout: readonly number[];
}

/** The newest fifth of a client's normal rows is scored and never trained on, as on an agent. */
const HOLDOUT_SHARE = 0.2;

export function clientExamples(schema: FeatureSchema, { id, rows, labels, choice }: ClientRows): ClientExamples {
  const { features, rowIndex, count } = extractAll(schema, rows);
  const known = Float32Array.from(rowIndex, (row) => labels?.[row] ?? 0);
  const places = [...known.keys()];
  const trained = count - Math.floor(count * HOLDOUT_SHARE);
  const chosen = (indices: Iterable<number>) => {
    const wanted = new Set(indices);
    return places.filter((i) => wanted.has(rowIndex[i]!));
  };
  return examplesOf({
    ...{ id, features, labels: known, inputs: inputCount(schema) },
    assumed: new Uint8Array(known.length).fill(labels === undefined ? 1 : 0),
    weights: choice === undefined ? null : Float32Array.from(rowIndex, (row) => choice.weights[row] ?? 1),
    training: choice === undefined ? places.slice(0, trained) : chosen(choice.training),
    holdout: choice === undefined ? places.slice(trained).filter((i) => known[i] === 0) : chosen(choice.holdout),
  });
}

/** Completes examples with the moments of their normal rows, in the order in which an agent adds them up. */
export function examplesOf(examples: Omit<ClientExamples, 'moments'>): ClientExamples {
  const { features, labels, training, holdout, inputs } = examples;
  const moments = new Moments(inputs);
  const normal = [...training.filter((i) => labels[i] === 0), ...holdout];
  for (const i of normal) moments.add(features.subarray(i * inputs, (i + 1) * inputs));
  return { ...examples, moments };
}
