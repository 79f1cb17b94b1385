/** `good`: read and in range. `bad`: the device or the decoder said no. `stale`: no answer, the last value is old. */
export type Quality = 'good' | 'bad' | 'stale';

/** One value of one tag, as acquired. A value whose quality is not good never feeds the detector. */
export interface Sample {
  readonly tag: string;
  /** In the tag's unit; NaN where there is none, and for letters. */
  readonly value: number;
  /** Of a tag that holds letters. */
  readonly text?: string;
  readonly quality: Quality;
  /** Why the quality is not good, e.g. 'MODBUS_TIMEOUT'. */
  readonly reason?: string;
  /** When the value was true at the source, ms since epoch: the device's own clock where it serves one. */
  readonly sourceTimeMs: number;
  readonly receivedTimeMs: number;
  /** When it was received, on a clock that never jumps: what ages and durations are computed from. */
  readonly receivedMonotonicMs: number;
  /** False while the clock that sourceTimeMs comes from is not known to have been set. */
  readonly isTimeKnown: boolean;
}

/** When something was received, on the clocks of the machine that received it. */
export interface ReceivedAt {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

/** A wall clock before this has not been set since the machine started: a gateway without a battery begins in 1970. */
const CLOCK_SET_MS = Date.UTC(2024, 0, 1);

export function isClockSet(wallMs: number): boolean {
  return wallMs >= CLOCK_SET_MS;
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
