/** Lines for a person: events stay, and on a terminal one more line at the bottom says what is going on now. */
export class ProgressLine {
  readonly #out: NodeJS.WriteStream;
  readonly #startedMs: number;
  readonly #monotonic: () => number;
  #live = '';
  #plainAtMs = 0;

  constructor(out: NodeJS.WriteStream, monotonic: () => number) {
    this.#out = out;
    this.#monotonic = monotonic;
    this.#startedMs = monotonic();
  }

  say(text: string): void {
    const stamp = `${((this.#monotonic() - this.#startedMs) / 1000).toFixed(0).padStart(4)} s`;
    this.#wipe();
    this.#out.write(`${stamp}  ${text}\n`);
    this.#draw();
  }

  /** Without a terminal the line is repeated every few seconds instead, where it has changed. */
  live(text: string): void {
    if (text === this.#live) return;
    if (this.#out.isTTY) {
      this.#wipe();
      this.#live = text;
      this.#draw();
    } else if (this.#monotonic() - this.#plainAtMs > PLAIN_EVERY_MS) {
      this.#plainAtMs = this.#monotonic();
      this.#live = text;
      this.say(`… ${text}`);
    }
  }

  end(): void {
    this.#wipe();
    this.#live = '';
  }

  #wipe(): void {
    if (this.#out.isTTY) this.#out.write('\r\u001b[2K');
  }

  #draw(): void {
    if (this.#out.isTTY) this.#out.write(`  … ${this.#live}`.slice(0, (this.#out.columns ?? 120) - 1));
  }
}

const PLAIN_EVERY_MS = 5_000;
