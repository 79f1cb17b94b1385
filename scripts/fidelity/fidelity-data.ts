import type { Comparison } from './compare.js';

/** What the report is made from, and what fidelity.json holds. */
export interface FidelityData {
  readonly plant: string;
  /** What stands for the real plant. */
  readonly real: string;
  readonly command: string;
  readonly seed: number;
  readonly rows: { readonly fittedTo: number; readonly compared: number; readonly twin: number };
  readonly tags: readonly { readonly name: string; readonly unit: string; readonly kind: 'analog' | 'status' }[];
  /** First the real rows against themselves: one half against the other. */
  readonly comparisons: readonly { readonly name: string; readonly comparison: Comparison }[];
  /** The demands that were found, for a person. */
  readonly demands: readonly (readonly [string, string])[];
}
