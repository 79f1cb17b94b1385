import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import type { PublishedValue } from './session.js';

/** What happened at one moment: values of a device that changed, or an alarm's transition. */
export type Happening = { readonly timeMs: number } & (
  | { readonly device: string; readonly values: readonly (PublishedValue & { readonly tag: string })[] }
  | { readonly device: null; readonly alarm: AlarmEvent }
);

/**
 * Data goes out at QoS 0, and what is sent while nobody has noticed yet that the other end is gone is lost: keepalive and a host's last will take up to a
 * minute. So what was told less long ago than this is told again.
 */
const DOUBTFUL_MS = 60_000;

interface Told {
  readonly happening: Happening;
  readonly toldMs: number;
}

/** What hosts have not been told, or may not have heard, oldest first; bounded by the number of values. Pure. */
export class Untold {
  readonly #maximumValues: number;
  #owed: Happening[] = [];
  #doubtful: Told[] = [];
  #owedValues = 0;
  #doubtfulValues = 0;
  #dropped = 0;

  /** @param maximumValues kept while nobody can be told; then the oldest go, values before alarms. */
  constructor(maximumValues: number) {
    this.#maximumValues = maximumValues;
  }

  /** Values and alarms that were given up for want of room, or of the device that they were of. */
  get dropped(): number {
    return this.#dropped;
  }

  get isEmpty(): boolean {
    return this.#owed.length === 0;
  }

  /** Told while a session goes on; null where there is none. */
  add(happening: Happening, toldMs: number | null): void {
    if (toldMs === null) this.#owe([happening]);
    else this.#mayBeLost(happening, toldMs);
  }

  /** The session is over. */
  lost(nowMs: number): void {
    this.#settle(nowMs);
    const doubtful = this.#doubtful.map(({ happening }) => happening);
    this.#doubtful = [];
    this.#doubtfulValues = 0;
    this.#owe(doubtful);
    this.#owed.sort((a, b) => a.timeMs - b.timeMs);
  }

  /** The oldest of those that can be told now, up to so many values and at least one happening. They count as told. */
  take(mostValues: number, canBeTold: (device: string | null) => boolean, nowMs: number): Happening[] {
    const taken: Happening[] = [];
    const left: Happening[] = [];
    let values = 0;
    let at = 0;
    for (; at < this.#owed.length && values < mostValues; at++) {
      const happening = this.#owed[at]!;
      const isTold = canBeTold(happening.device);
      (isTold ? taken : left).push(happening);
      if (isTold) values += sizeOf(happening);
    }
    this.#owed = [...left, ...this.#owed.slice(at)];
    this.#owedValues -= values;
    for (const happening of taken) this.#mayBeLost(happening, nowMs);
    return taken;
  }

  /** Of devices that are no longer there, nothing can be told. */
  keepOnly(isThere: (device: string) => boolean): void {
    const isKept = ({ device }: Happening) => device === null || isThere(device);
    for (const happening of this.#owed) if (!isKept(happening)) this.#drop(happening);
    this.#owed = this.#owed.filter(isKept);
    this.#doubtful = this.#doubtful.filter(({ happening }) => isKept(happening));
    this.#doubtfulValues = this.#doubtful.reduce((sum, { happening }) => sum + sizeOf(happening), 0);
  }

  #mayBeLost(happening: Happening, toldMs: number): void {
    this.#doubtful.push({ happening, toldMs });
    this.#doubtfulValues += sizeOf(happening);
    this.#settle(toldMs);
  }

  #settle(nowMs: number): void {
    // A clock that was set back makes none of them newer.
    const isSettled = ({ toldMs }: Told) =>
      Math.abs(nowMs - toldMs) >= DOUBTFUL_MS || this.#doubtfulValues > this.#maximumValues;
    let settled = 0;
    for (; settled < this.#doubtful.length && isSettled(this.#doubtful[settled]!); settled++)
      this.#doubtfulValues -= sizeOf(this.#doubtful[settled]!.happening);
    this.#doubtful.splice(0, settled);
  }

  #owe(happenings: readonly Happening[]): void {
    for (const happening of happenings) {
      this.#owed.push(happening);
      this.#owedValues += sizeOf(happening);
    }
    while (this.#owedValues > this.#maximumValues) {
      const oldest = this.#owed.findIndex(({ device }) => device !== null);
      const [given] = this.#owed.splice(Math.max(0, oldest), 1);
      if (given === undefined) return;
      this.#drop(given);
    }
  }

  #drop(happening: Happening): void {
    this.#owedValues -= sizeOf(happening);
    this.#dropped += sizeOf(happening);
  }
}

const sizeOf = (happening: Happening): number => (happening.device === null ? 1 : happening.values.length);
