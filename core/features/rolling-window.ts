/**
 * Mean and standard deviation of the last `rows` values, O(1) per value on average. Sums are taken relative to a recent value and
 * rebuilt from the window itself once every `rows` values, so rounding errors never add up over the months a detector runs.
 */
export class RollingWindow {
  /** Values in the ring; the window is full of numbers exactly when none of them is NaN. */
  readonly #ring: Float64Array;
  #next = 0;
  #missing: number;
  #origin = 0;
  #sum = 0;
  #sumOfSquares = 0;

  constructor(rows: number) {
    this.#ring = new Float64Array(rows).fill(Number.NaN);
    this.#missing = rows;
  }

  /** @param value NaN for a row without one: mean and deviation are NaN for as long as it is in the window. */
  push(value: number): void {
    const ring = this.#ring;
    const leaving = ring[this.#next]!;
    ring[this.#next] = value;
    if (Number.isNaN(leaving)) this.#missing--;
    else {
      const old = leaving - this.#origin;
      this.#sum -= old;
      this.#sumOfSquares -= old * old;
    }
    if (Number.isNaN(value)) this.#missing++;
    else {
      const entering = value - this.#origin;
      this.#sum += entering;
      this.#sumOfSquares += entering * entering;
    }
    this.#next++;
    if (this.#next === ring.length) {
      this.#next = 0;
      this.#rebuild(value);
    }
  }

  mean(): number {
    return this.#missing > 0 ? Number.NaN : this.#origin + this.#sum / this.#ring.length;
  }

  /** Of the window as a whole population (divided by rows, not rows − 1). */
  standardDeviation(): number {
    if (this.#missing > 0) return Number.NaN;
    const rows = this.#ring.length;
    const mean = this.#sum / rows;
    return Math.sqrt(Math.max(0, this.#sumOfSquares / rows - mean * mean));
  }

  clear(): void {
    this.#ring.fill(Number.NaN);
    this.#next = 0;
    this.#missing = this.#ring.length;
    this.#rebuild(Number.NaN);
  }

  #rebuild(latest: number): void {
    this.#origin = Number.isNaN(latest) ? 0 : latest;
    this.#sum = 0;
    this.#sumOfSquares = 0;
    for (const value of this.#ring) {
      if (Number.isNaN(value)) continue;
      const centred = value - this.#origin;
      this.#sum += centred;
      this.#sumOfSquares += centred * centred;
    }
  }
}
