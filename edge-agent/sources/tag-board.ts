import type { SourceTag } from '@twinwatch/core/config/sources';
import type { Clock } from '@twinwatch/core/runtime';
import type { DeviceReading } from '@twinwatch/core/scada/row-assembler';
import { isClockSet, type Sample } from '@twinwatch/core/scada/sample';

/**
 * The newest value of each tag of a device that sends when it likes. Nothing is queued: what comes faster than it is read replaces what came
 * before, so that a flooding sender costs no memory; and what nothing was heard of for a while is stale, whatever it was.
 */
export class TagBoard {
  readonly #device: string;
  readonly #tags: readonly SourceTag[];
  readonly #staleAfterMs: number;
  readonly #clock: Clock;
  readonly #samples = new Map<string, Sample>();

  constructor(device: string, tags: readonly SourceTag[], staleAfterMs: number, clock: Clock) {
    this.#device = device;
    this.#tags = tags;
    this.#staleAfterMs = staleAfterMs;
    this.#clock = clock;
  }

  /**
   * @param raw as it came, before scale and offset.
   * @param sourceTimeMs of the sender's clock, null where it says none. One that is older than staleAfter is stale at once.
   */
  put(name: string, raw: unknown, sourceTimeMs: number | null): void {
    const tag = this.#tags.find((one) => one.name === name);
    if (tag === undefined) return;
    const { value, reason } = read(raw, tag);
    const nowMs = this.#clock.now();
    const receivedMonotonicMs = this.#clock.monotonic();
    const ageMs = sourceTimeMs === null ? 0 : Math.max(0, nowMs - sourceTimeMs);
    this.#samples.set(name, {
      ...{ tag: name, value, quality: reason === null ? 'good' : 'bad', ...(reason === null ? {} : { reason }) },
      ...{ sourceTimeMs: sourceTimeMs ?? nowMs, receivedTimeMs: nowMs },
      receivedMonotonicMs: receivedMonotonicMs - (isClockSet(nowMs) ? ageMs : 0),
      isTimeKnown: isClockSet(sourceTimeMs ?? nowMs),
    });
  }

  /** The sender itself said that a value is not good. */
  spoil(name: string, reason: string): void {
    this.put(name, Number.NaN, null);
    const sample = this.#samples.get(name);
    if (sample !== undefined) this.#samples.set(name, { ...sample, reason });
  }

  /** Nothing is known any more: the line is down. */
  clear(): void {
    this.#samples.clear();
  }

  /** Every tag: its newest value, stale where that is old or was never there. */
  reading(): DeviceReading {
    const nowMs = this.#clock.monotonic();
    const samples = this.#tags.map(({ name }): Sample => {
      const sample = this.#samples.get(name);
      if (sample === undefined) return this.#absent(name);
      if (nowMs - sample.receivedMonotonicMs <= this.#staleAfterMs) return sample;
      return { ...sample, quality: 'stale', reason: 'NOT_HEARD_OF' };
    });
    return { device: this.#device, samples, sequence: null, timeMs: null, arrivedMs: nowMs };
  }

  /** Whether any value is fresh. */
  get isAlive(): boolean {
    const nowMs = this.#clock.monotonic();
    return [...this.#samples.values()].some(
      ({ receivedMonotonicMs }) => nowMs - receivedMonotonicMs <= this.#staleAfterMs,
    );
  }

  #absent(tag: string): Sample {
    const nowMs = this.#clock.now();
    return {
      ...{
        tag,
        value: Number.NaN,
        quality: 'stale',
        reason: 'NEVER_HEARD_OF',
        sourceTimeMs: nowMs,
        receivedTimeMs: nowMs,
      },
      receivedMonotonicMs: this.#clock.monotonic(),
      isTimeKnown: isClockSet(nowMs),
    };
  }
}

/** Numbers, texts that are one, and true and false; anything else is bad, and never a guess. */
function read(raw: unknown, tag: SourceTag): { value: number; reason: string | null } {
  const number =
    typeof raw === 'boolean'
      ? Number(raw)
      : typeof raw === 'number'
        ? raw
        : typeof raw === 'bigint'
          ? Number(raw)
          : typeof raw === 'string' && /^\s*[+-]?\s*(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i.test(raw)
            ? Number(raw.replaceAll(/\s/g, ''))
            : Number.NaN;
  const value = number * tag.scale + tag.offset;
  if (!Number.isFinite(value)) return { value: Number.NaN, reason: 'NOT_A_NUMBER' };
  const isOutside =
    (tag.minimum !== undefined && value < tag.minimum) || (tag.maximum !== undefined && value > tag.maximum);
  return { value, reason: isOutside ? 'OUT_OF_RANGE' : null };
}
