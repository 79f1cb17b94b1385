/** What a site shows of its values where it has opted in: JSON. */

export interface TagValue {
  /** Null where it is not good, and for letters. */
  readonly value: number | null;
  readonly quality: string;
  /** Of a tag that holds letters, where it is good. */
  readonly text?: string;
}

/** JSON on agents/<id>/telemetry, for the page only. */
export interface Telemetry {
  readonly atMs: number;
  readonly score: number | null;
  readonly values: Readonly<Record<string, TagValue>>;
  /** Only values that changed; the others are as they were told last. */
  readonly isPartial?: boolean;
}
