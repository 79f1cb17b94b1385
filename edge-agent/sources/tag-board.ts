import type { SourceTag } from '@twinwatch/core/config/sources';
import type { Clock } from '@twinwatch/core/runtime';
import type { DeviceReading } from '@twinwatch/core/scada/row-assembler';
import { isClockSet, type Sample } from '@twinwatch/core/scada/sample';

/** A sender's clock may be ahead of this machine's by so much; a time further on is not believed, or one wrong date would keep out all that comes after it. */
const PLAUSIBLE_AHEAD_MS = 60_000;

interface Kept {
  readonly sample: Sample;
  /** The sender's time, where it is one that values can be ordered by; null for the order in which they came. */
  readonly orderMs: number | null;
}

/**
 * The newest value of each tag of a device that sends when it likes. Nothing is queued: what comes faster than it is read replaces what came
 * before, so that a flooding sender costs no memory; and what nothing was heard of for a while is stale, whatever it was. Newest is what has the newest
 * time of its sender; of equal times, and where either has none that is plausible, what came last.
 */
export class TagBoard {
  readonly #device: string;
  readonly #tags: readonly SourceTag[];
  readonly #staleAfterMs: number;
  readonly #clock: Clock;
  readonly #kept = new Map<string, Kept>();

  constructor(device: string, tags: readonly SourceTag[], staleAfterMs: number, clock: Clock) {
    this.#device = device;
    this.#tags = tags;
    this.#staleAfterMs = staleAfterMs;
    this.#clock = clock;
  }

  /**
   * @param raw as it came, before scale and offset.
   * @param sourceTimeMs of the sender's clock, null where it says none. One that is older than staleAfter is stale at once; one that is older than that
   * of a value which is still fresh comes late, and changes nothing.
   */
  put(name: string, raw: unknown, sourceTimeMs: number | null): void {
    const tag = this.#tags.find((one) => one.name === name);
    if (tag !== undefined) this.#keep(name, read(raw, tag), sourceTimeMs);
  }

  /** The sender itself said that a value is not good. */
  spoil(name: string, reason: string, sourceTimeMs: number | null): void {
    this.#keep(name, { value: Number.NaN, reason }, sourceTimeMs);
  }

  /** Nothing is known any more: the line is down. */
  clear(): void {
    this.#kept.clear();
  }

  #keep(tag: string, { value, reason }: ReturnType<typeof read>, sourceTimeMs: number | null): void {
    const nowMs = this.#clock.now();
    const ageMs = sourceTimeMs === null || !isClockSet(nowMs) ? 0 : Math.max(0, nowMs - sourceTimeMs);
    const isAhead = sourceTimeMs !== null && sourceTimeMs > nowMs + PLAUSIBLE_AHEAD_MS;
    const orderMs = isAhead ? null : sourceTimeMs;
    const before = this.#kept.get(tag);
    const isLate = orderMs !== null && before !== undefined && before.orderMs !== null && orderMs < before.orderMs;
    // A value that was ahead keeps out what is true for as long as it is fresh itself, and no longer.
    if (isLate && (this.#isFresh(before.sample) || ageMs > this.#staleAfterMs)) return;
    const sample: Sample = {
      ...{ tag, value, quality: reason === null ? 'good' : 'bad', ...(reason === null ? {} : { reason }) },
      ...{ sourceTimeMs: sourceTimeMs ?? nowMs, receivedTimeMs: nowMs },
      receivedMonotonicMs: this.#clock.monotonic() - ageMs,
      isTimeKnown: isClockSet(sourceTimeMs ?? nowMs) && !(isAhead && isClockSet(nowMs)),
    };
    this.#kept.set(tag, { sample, orderMs });
  }

  #isFresh({ receivedMonotonicMs }: Sample): boolean {
    return this.#clock.monotonic() - receivedMonotonicMs <= this.#staleAfterMs;
  }

  /** Every tag: its newest value, stale where that is old or was never there. */
  reading(): DeviceReading {
    const nowMs = this.#clock.monotonic();
    const samples = this.#tags.map(({ name }): Sample => {
      const sample = this.#kept.get(name)?.sample;
      if (sample === undefined) return this.#absent(name);
      if (this.#isFresh(sample)) return sample;
      return { ...sample, quality: 'stale', reason: 'NOT_HEARD_OF' };
    });
    return { device: this.#device, samples, sequence: null, timeMs: null, arrivedMs: nowMs };
  }

  /** Whether any value is fresh. */
  get isAlive(): boolean {
    return [...this.#kept.values()].some(({ sample }) => this.#isFresh(sample));
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
