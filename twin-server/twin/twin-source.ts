import type { ControlRule } from '@twinwatch/core/features/spec';
import type { Row } from '@twinwatch/core/scada/sample';
import type { Tag } from '@twinwatch/core/scada/tag';

/** Where labelled rows of a plant come from, without the plant: a simulation, or a file of simulated rows. */

export interface TwinRequest {
  /** The same seed gives the same rows, on however many threads. */
  readonly seed: number;
  readonly episodes: number;
  /** Of each episode, after its warm-up. */
  readonly hoursPerEpisode: number;
  /** Share of the episodes that hold attacks; the others are normal running from end to end. */
  readonly attackShare: number;
  /** Which part of the seed's endless sequence of episodes to make; 0 where absent. */
  readonly firstEpisode?: number | undefined;
}

export interface TwinProgress {
  readonly episodesDone: number;
  readonly episodes: number;
}

export interface TwinEpisode {
  /** One SCADA interval after the other, as SCADA saw them. */
  readonly rows: readonly Row[];
  /** [rows]: 1 while an attack is active, else 0. */
  readonly labels: Uint8Array;
  /**
   * [rows]: 1 where a row should be neither learned from nor scored, whatever its label: the plant still recovers from an attack, an attack has
   * made no difference yet, or the label is not known.
   */
  readonly excluded: Uint8Array;
  /** [rows]: the active attack's name, or null. */
  readonly attackNames: readonly (string | null)[];
}

export interface TwinRows {
  readonly tags: readonly Tag[];
  readonly intervalMs: number;
  /** On-off rules of the plant's controllers; absent where the source knows none. */
  readonly rules?: readonly ControlRule[];
  readonly episodes: readonly TwinEpisode[];
  /** What the simulator warned of, and how often. */
  readonly warnings: ReadonlyMap<string, number>;
}

export interface TwinSource {
  /** What the rows' values are, in their order; known without generating. */
  readonly tags: readonly Tag[];
  readonly intervalMs: number;
  /** As in TwinRows. */
  readonly rules?: readonly ControlRule[];
  /** Rejects with the signal's reason when aborted. @throws TwinwatchError TWIN_*, PLANT_* */
  generate(request: TwinRequest, onProgress: (progress: TwinProgress) => void, signal?: AbortSignal): Promise<TwinRows>;
}
