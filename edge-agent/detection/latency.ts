/** The last durations, for percentiles of now rather than of the process's whole life. */
export class LatencyWindow {
  readonly #durationsMs: Float64Array;
  #count = 0;

  constructor(size = 2_000) {
    this.#durationsMs = new Float64Array(size);
  }

  add(ms: number): void {
    this.#durationsMs[this.#count++ % this.#durationsMs.length] = ms;
  }

  /** Durations that the percentiles are over. */
  get count(): number {
    return Math.min(this.#count, this.#durationsMs.length);
  }

  /** @param share 0.5 for the median. Null before the first duration. */
  percentile(share: number): number | null {
    const kept = this.count;
    if (kept === 0) return null;
    const sorted = this.#durationsMs.slice(0, kept).sort();
    return sorted[Math.min(kept - 1, Math.floor(share * kept))] ?? null;
  }
}
