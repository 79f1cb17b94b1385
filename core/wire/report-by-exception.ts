import type { Telemetry } from './telemetry.js';

type Values = Telemetry['values'];

/** A whole message comes after so many with changes only: who begins to listen, or lost one, has everything soon. */
const WHOLE_EVERY = 30;

/**
 * Telemetry that tells changes: a value that differs by more than its tag's deadband from what was told last, and every change of
 * quality. Slow drift is told too, as it is measured against what was told, not against the value before.
 */
export class ReportByException {
  readonly #deadbands: ReadonlyMap<string, number>;
  #told: Record<string, Values[string]> = {};
  #sinceWhole = WHOLE_EVERY;

  /** @param deadbands tag → in its unit; any change without one. */
  constructor(deadbands: ReadonlyMap<string, number>) {
    this.#deadbands = deadbands;
  }

  /** The next message is whole: a link was down, so what was told may not have arrived. */
  forget(): void {
    this.#sinceWhole = WHOLE_EVERY;
  }

  next(latest: Telemetry): Telemetry {
    if (this.#sinceWhole >= WHOLE_EVERY) {
      this.#sinceWhole = 1;
      this.#told = { ...latest.values };
      return latest;
    }
    this.#sinceWhole++;
    const changed = Object.entries(latest.values).filter(([tag, now]) => this.#isNews(tag, now));
    for (const [tag, now] of changed) this.#told[tag] = now;
    return { ...latest, values: Object.fromEntries(changed), isPartial: true };
  }

  #isNews(tag: string, now: Values[string]): boolean {
    const told = this.#told[tag];
    if (told === undefined || told.quality !== now.quality || told.text !== now.text) return true;
    if (told.value === null || now.value === null) return told.value !== now.value;
    return Math.abs(now.value - told.value) > (this.#deadbands.get(tag) ?? 0);
  }
}

/** What is known after `next`, where `before` was known. */
export function withChanges(before: Telemetry | undefined, next: Telemetry): Telemetry {
  const { isPartial, ...whole } = next;
  return isPartial === true && before !== undefined
    ? { ...whole, values: { ...before.values, ...next.values } }
    : whole;
}
