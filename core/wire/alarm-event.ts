/** What an agent raises: JSON, for people and other programs as well. */

/** JSON on agents/<id>/alarms, one per transition, kept by the agent until its receipt. */
export interface AlarmEvent {
  /** Unique: `<agent>:<alarm number>:<transition number>`. */
  readonly eventId: string;
  readonly alarmId: string;
  readonly agent: string;
  readonly transition: 'raised' | 'cleared' | 'acknowledged' | 'shelved' | 'unshelved';
  /** Source time of the row that caused it. */
  readonly atMs: number;
  readonly score: number;
  readonly threshold: number;
  readonly modelVersion: string;
  /** Tags that moved the score most, most first; shares sum to at most 1. */
  readonly contributions: readonly { readonly tag: string; readonly share: number; readonly value: number }[];
  /** From the first device's response of the row's scan to alarm decided, milliseconds. */
  readonly latencyMs: number;
  /** Of an alarm that says that values do not come, and that no detector raised. Score and threshold are 0 then. */
  readonly communication?: SilentTags;
  /** The highest score since the alarm was raised. Absent from agents of earlier releases, and without a detector. */
  readonly peakScore?: number;
}

/** Which values do not come, and why: told when the alarm is raised, with empty lists afterwards. */
export interface SilentTags {
  readonly tags: readonly string[];
  readonly reason: string;
  /** Whose tags they are. */
  readonly devices?: readonly string[];
  /** Time of the first row that one of them was missing from. */
  readonly sinceMs?: number;
}
