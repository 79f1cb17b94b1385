import type { Tag } from '../scada/tag.js';

/**
 * One declared feature. `rows` counts sampling intervals. The order of the specs is the order of the model's inputs;
 * hourOfDay gives two inputs per harmonic (sine, cosine), every other type gives one.
 */
export type FeatureSpec =
  | { readonly type: 'raw'; readonly tag: string }
  | { readonly type: 'delta'; readonly tag: string; readonly rows: number }
  | { readonly type: 'lag'; readonly tag: string; readonly rows: number }
  | { readonly type: 'rollingMean'; readonly tag: string; readonly rows: number }
  | { readonly type: 'rollingStd'; readonly tag: string; readonly rows: number }
  | { readonly type: 'hourOfDay'; readonly harmonics: number };

/** What a detector looks at. Travels with tasks and inside the ONNX file; agents and server compare its hash. */
export interface FeatureSchema {
  readonly tags: readonly Tag[];
  readonly features: readonly FeatureSpec[];
  /** Sampling interval of rows. A gap of more than 1.5 intervals empties the window. */
  readonly intervalMs: number;
  /** A tag that is not good keeps its last good value for at most this many rows; then the detector abstains. */
  readonly holdRows: number;
}
