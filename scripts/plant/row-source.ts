/** Where a site's rows come from: a simulated plant or a recorded feed. */

interface SourceRow {
  readonly timeMs: number;
  /** [tags], what the PLCs answer: concealment included. NaN where a recording has nothing. */
  readonly values: ArrayLike<number>;
  /** Name of the attack that is on, null for none or unknown. */
  readonly attack: string | null;
}

export interface RowSource {
  readonly tagNames: readonly string[];
  /** The next row, or null after the last of a recording. */
  next(): SourceRow | null;
  /** Adds an attack of the catalogue. @throws TwinwatchError PLANT_UNKNOWN_ATTACK */
  schedule(attack: ScheduledAttack): void;
  close(): void;
}

export interface ScheduledAttack {
  readonly name: string;
  readonly startMs: number;
}
