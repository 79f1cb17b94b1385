/** `good`: read and in range. `bad`: the device or the decoder said no. `stale`: no answer, the last value is old. */
export type Quality = 'good' | 'bad' | 'stale';

/** One value of one tag, as acquired. A value whose quality is not good never feeds the detector. */
export interface Sample {
  readonly tag: string;
  /** In the tag's unit; NaN where there is none. */
  readonly value: number;
  readonly quality: Quality;
  /** Why the quality is not good, e.g. 'MODBUS_TIMEOUT'. */
  readonly reason?: string;
  /** When the value was true at the source, ms since epoch: the device's own clock where it serves one. */
  readonly sourceTimeMs: number;
  readonly receivedTimeMs: number;
}

/** All tags of a site at one instant: what features are computed from, and what the store keeps. */
export interface Row {
  /** Source time, ms since epoch. */
  readonly timeMs: number;
  /** The device's own scan counter, or null where it serves none. */
  readonly sequence: number | null;
  /** [tags] in the order of the site's tag list, engineering units; NaN where the quality is not good. */
  readonly values: Float64Array;
}
