import type { Quality } from '@twinwatch/core/scada/sample';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import { encodeSparkplug, type SparkplugMetric } from '@twinwatch/core/wire/sparkplug-payload';
import { Untold } from './untold.js';

/**
 * What an edge node of Sparkplug B says and when (Sparkplug 3.0.0, §5 and §6): births with everything, data with what has changed, deaths, and
 * the two counters that let a host notice what it missed; and what happened while nobody could be told, as historical data. No effects: what is to be
 * published is returned.
 */

export interface SparkplugMessage {
  readonly topic: string;
  readonly payload: Buffer;
}

export interface PublishedDevice {
  readonly name: string;
  readonly tags: readonly string[];
}

export interface PublishedValue {
  /** NaN where there is none. */
  readonly value: number;
  readonly quality: Quality;
}

export interface SessionOptions {
  readonly group: string;
  readonly node: string;
  /** Of the connection before, −1 for none. */
  readonly bdSeq: number;
  /** Values kept while nobody can be told. */
  readonly history: number;
  /** Whether data tells types, too: the specification advises against it, and some hosts read nothing without. */
  readonly typedData: boolean;
}

interface DeviceState {
  readonly device: PublishedDevice;
  isBorn: boolean;
}

/** Of a value's property 'Quality': OPC's numbers, as hosts read them. */
const QUALITY: Readonly<Record<Quality, number>> = { good: 192, bad: 0, stale: 500 };
const UNHEARD_OF: PublishedValue = { value: Number.NaN, quality: 'stale' };
const SEQUENCE = 256;
const NAMESPACE = 'spBv1.0';

export class SparkplugSession {
  readonly #options: SessionOptions;
  readonly #untold: Untold;
  #bdSeq: number;
  #seq = 0;
  #isBorn = false;
  #devices: DeviceState[] = [];
  #aliases = new Map<string, number>();
  #values = new Map<string, PublishedValue>();
  #alarm: AlarmEvent | null = null;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#bdSeq = options.bdSeq;
    this.#untold = new Untold(options.history);
  }

  get bdSeq(): number {
    return this.#bdSeq;
  }

  /** Values and alarms that hosts were never told, for want of room. */
  get dropped(): number {
    return this.#untold.dropped;
  }

  /** The last will of the next connection: its death certificate carries the number that its birth will. */
  nextDeath(nowMs: number): SparkplugMessage {
    this.#bdSeq = (this.#bdSeq + 1) % SEQUENCE;
    return this.death(nowMs);
  }

  death(nowMs: number): SparkplugMessage {
    if (this.#isBorn) this.ended(nowMs);
    return {
      topic: this.#topic('NDEATH'),
      payload: encodeSparkplug({ timeMs: nowMs, seq: null, metrics: [this.#bdSeqMetric(nowMs)] }),
    };
  }

  /** The connection is gone: from here on nobody can be told. */
  ended(nowMs: number): void {
    this.#isBorn = false;
    this.#untold.lost(nowMs);
  }

  /** The next part of what happened while nobody could be told, the oldest first; empty once there is no more of devices that are alive. */
  past(mostValues: number, nowMs: number): SparkplugMessage[] {
    if (!this.#isBorn || this.#untold.isEmpty) return [];
    const born = new Set(this.#devices.flatMap(({ device, isBorn }) => (isBorn ? [device.name] : [])));
    const past = this.#untold.take(mostValues, (device) => device === null || born.has(device), nowMs);
    return past.map((happening) => {
      const { timeMs, device } = happening;
      const metrics =
        happening.device === null
          ? alarmMetrics(happening.alarm, timeMs)
          : happening.values.map(({ tag, ...value }) => this.#tagMetric(tag, null, value, timeMs));
      const historical = metrics.map((one) => ({ ...one, isHistorical: true }));
      return this.#message(device === null ? 'NDATA' : 'DDATA', device, nowMs, historical);
    });
  }

  /** Everything there is, from number 0 on: at the start of a session, and whenever a host asks for it. */
  birth(nowMs: number): SparkplugMessage[] {
    this.#isBorn = true;
    this.#seq = 0;
    const control = metric('Node Control/Rebirth', 'Boolean', false, nowMs);
    const node = this.#message('NBIRTH', null, nowMs, [
      this.#bdSeqMetric(nowMs),
      control,
      ...alarmMetrics(this.#alarm, nowMs),
      metric('History/Dropped', 'Int64', this.dropped, nowMs),
    ]);
    for (const state of this.#devices) state.isBorn = false;
    return [node, ...this.#devices.flatMap((state) => this.#deviceBirth(state, nowMs))];
  }

  /** Other devices, of a site whose configuration has changed: those that are gone die, new ones are born with their first value. */
  devices(devices: readonly PublishedDevice[], nowMs: number): SparkplugMessage[] {
    const same = (one: PublishedDevice, other: PublishedDevice) => JSON.stringify(one) === JSON.stringify(other);
    const leaving = this.#devices.filter(({ device }) => !devices.some((other) => same(device, other)));
    const messages = leaving.flatMap((state) => this.#deviceDeath(state, nowMs));
    this.#devices = devices.map(
      (device) => this.#devices.find((state) => same(state.device, device)) ?? { device, isBorn: false },
    );
    this.#untold.keepOnly((name) => devices.some((device) => device.name === name));
    for (const { tags } of devices)
      for (const tag of tags) if (!this.#aliases.has(tag)) this.#aliases.set(tag, this.#aliases.size + 1);
    return messages;
  }

  /** A row's values. A device without any that was heard of is dead until there is one. */
  values(values: ReadonlyMap<string, PublishedValue>, nowMs: number): SparkplugMessage[] {
    const changed = new Set<string>();
    for (const [tag, value] of values) {
      const before = this.#values.get(tag);
      if (before === undefined || !Object.is(before.value, value.value) || before.quality !== value.quality)
        changed.add(tag);
      this.#values.set(tag, value);
    }
    return this.#devices.flatMap((state) => {
      const { tags, name: device } = state.device;
      const news = tags.flatMap((tag) => (changed.has(tag) ? [{ tag, ...values.get(tag)! }] : []));
      if (news.length > 0) this.#untold.add({ timeMs: nowMs, device, values: news }, this.#isBorn ? nowMs : null);
      if (!this.#isBorn) return [];
      if (!this.#isAlive(state.device)) return this.#deviceDeath(state, nowMs);
      if (!state.isBorn) return this.#deviceBirth(state, nowMs);
      const metrics = news.map(({ tag, ...value }) => this.#tagMetric(tag, null, value, nowMs));
      return metrics.length === 0 ? [] : [this.#message('DDATA', device, nowMs, metrics)];
    });
  }

  alarm(event: AlarmEvent, nowMs: number): SparkplugMessage[] {
    this.#alarm = event;
    this.#untold.add({ timeMs: nowMs, device: null, alarm: event }, this.#isBorn ? nowMs : null);
    return this.#isBorn ? [this.#message('NDATA', null, nowMs, alarmMetrics(event, nowMs))] : [];
  }

  #isAlive({ tags }: PublishedDevice): boolean {
    return tags.some((tag) => (this.#values.get(tag)?.quality ?? 'stale') !== 'stale');
  }

  #deviceBirth(state: DeviceState, nowMs: number): SparkplugMessage[] {
    if (!this.#isAlive(state.device)) return [];
    state.isBorn = true;
    const metrics = state.device.tags.map((tag) =>
      this.#tagMetric(tag, tag, this.#values.get(tag) ?? UNHEARD_OF, nowMs),
    );
    return [this.#message('DBIRTH', state.device.name, nowMs, metrics)];
  }

  #deviceDeath(state: DeviceState, nowMs: number): SparkplugMessage[] {
    if (!state.isBorn) return [];
    state.isBorn = false;
    return this.#isBorn ? [this.#message('DDEATH', state.device.name, nowMs, [])] : [];
  }

  #tagMetric(tag: string, name: string | null, { value, quality }: PublishedValue, timeMs: number): SparkplugMetric {
    return {
      ...{ name, alias: this.#aliases.get(tag) ?? null, timeMs, type: 'Double' },
      ...{ value: Number.isFinite(value) ? value : null, quality: QUALITY[quality] },
    };
  }

  #bdSeqMetric(nowMs: number): SparkplugMetric {
    return metric('bdSeq', 'Int64', this.#bdSeq, nowMs);
  }

  #message(kind: string, device: string | null, nowMs: number, metrics: readonly SparkplugMetric[]): SparkplugMessage {
    const seq = this.#seq;
    this.#seq = (this.#seq + 1) % SEQUENCE;
    const types = this.#options.typedData || kind.endsWith('BIRTH');
    return { topic: this.#topic(kind, device), payload: encodeSparkplug({ timeMs: nowMs, seq, metrics }, types) };
  }

  #topic(kind: string, device: string | null = null): string {
    const { group, node } = this.#options;
    return `${NAMESPACE}/${group}/${kind}/${node}${device === null ? '' : `/${device}`}`;
  }
}

function alarmMetrics(event: AlarmEvent | null, timeMs: number): SparkplugMetric[] {
  const isActive = event !== null && event.transition !== 'cleared';
  return [
    metric('Alarm/Active', 'Boolean', isActive, timeMs),
    metric('Alarm/Id', 'String', event?.alarmId ?? '', timeMs),
    metric('Alarm/Transition', 'String', event?.transition ?? '', timeMs),
    metric('Alarm/At', 'Int64', event?.atMs ?? 0, timeMs),
    metric('Alarm/Score', 'Double', event === null || !Number.isFinite(event.score) ? null : event.score, timeMs),
    metric('Alarm/Tags', 'String', (event?.contributions ?? []).map(({ tag }) => tag).join(', '), timeMs),
  ];
}

function metric(
  name: string,
  type: SparkplugMetric['type'],
  value: SparkplugMetric['value'],
  timeMs: number,
): SparkplugMetric {
  return { name, type, value, timeMs, alias: null, quality: null };
}

/** Whether a command to the node asks for everything anew. */
export function asksForRebirth(metrics: readonly SparkplugMetric[]): boolean {
  return metrics.some(({ name, value }) => name === 'Node Control/Rebirth' && value === true);
}

/** What a primary host says of itself: in JSON since Sparkplug 3, as a word before. Null for anything else. */
export function hostState(payload: Buffer): { readonly isOnline: boolean; readonly timeMs: number } | null {
  const text = payload.toString('utf8');
  if (text === 'ONLINE' || text === 'OFFLINE') return { isOnline: text === 'ONLINE', timeMs: 0 };
  try {
    const state = JSON.parse(text) as { online?: unknown; timestamp?: unknown } | null;
    if (typeof state?.online !== 'boolean') return null;
    return { isOnline: state.online, timeMs: typeof state.timestamp === 'number' ? state.timestamp : 0 };
  } catch {
    return null;
  }
}
