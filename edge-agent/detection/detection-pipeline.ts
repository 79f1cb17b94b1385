import { FeatureExtractor } from '@twinwatch/core/features/extractor';
import type { Clock, Logger } from '@twinwatch/core/runtime';
import {
  type AlarmEffect,
  type AlarmInput,
  type AlarmParameters,
  type AlarmState,
  alarmStep,
  QUIET_ALARM,
} from '@twinwatch/core/scada/alarm';
import {
  acknowledgeCommunication,
  type CommunicationEffect,
  type CommunicationState,
  communicationStep,
  QUIET_COMMUNICATION,
} from '@twinwatch/core/scada/communication-alarm';
import type { AssembledRow } from '@twinwatch/core/scada/row-assembler';
import type { Row } from '@twinwatch/core/scada/sample';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import type { AlarmCommand } from '@twinwatch/core/wire/commands';
import type { Telemetry } from '@twinwatch/core/wire/telemetry';
import { ANOMALOUS, NORMAL, type RowLabel, UNKNOWN, UNLABELLED } from '../store/row-table.js';
import type { Store } from '../store/store.js';
import type { Contribution, Detector } from './detector.js';
import { LatencyWindow } from './latency.js';

export interface PipelineOptions {
  readonly agent: string;
  readonly tags: readonly string[];
  readonly labelTag: string | null;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  /** The site's, with their tags: whose values do not come. */
  readonly devices: () => readonly { readonly name: string; readonly tags: readonly string[] }[];
  /** An event is in the outbox. */
  readonly onAlarm: (event: AlarmEvent) => void;
}

export interface AlarmOperation extends Pick<AlarmCommand, 'alarmId' | 'shelveMs'> {
  readonly action: Exclude<AlarmCommand['action'], 'confirm' | 'dismiss'>;
}

/** What survives a restart, in one row of the store. */
interface Kept extends AlarmState {
  readonly communication: CommunicationState;
}

interface Running {
  readonly detector: Detector;
  readonly extractor: FeatureExtractor;
  /** For each of the schema's tags, its index in the site's tags. */
  readonly places: readonly number[];
  readonly parameters: AlarmParameters;
  /** Source time of the row that the extractor saw last. */
  newestMs: number | null;
}

/** Rows looked back on when a detector starts: enough to fill its windows and holds. */
const WARM_UP_SPARE_ROWS = 16;
/** Rows that a tag may be bad before it is told, while no detector says otherwise. */
const HOLD_ROWS = 3;
const NAMED_TAGS = 64;
const LONGEST_REASON = 1_000;

/**
 * Row → features → score → alarm → store. One row at a time, in order; a row is stored together with the alarm state it led to, and
 * its alarm before it, so that a restart goes on with the next row.
 */
export class DetectionPipeline {
  readonly latency = new LatencyWindow();
  readonly #options: PipelineOptions;
  #running: Running | null = null;
  #state: AlarmState = QUIET_ALARM;
  #communication: CommunicationState = QUIET_COMMUNICATION;
  #turn: Promise<void> = Promise.resolve();
  #latest: Telemetry | null = null;
  #tags: readonly string[];
  /** Called with every row that is judged. */
  readonly #listeners = new Set<(row: Row) => void>();

  constructor(options: PipelineOptions) {
    this.#options = options;
    this.#tags = options.tags;
  }

  /** @param listener is called with every row that is judged, and the tags that its values stand for. @returns ends that. */
  observe(listener: (row: Row, tags: readonly string[]) => void): () => void {
    const listen = (row: Row) => listener(row, this.#tags);
    this.#listeners.add(listen);
    return () => void this.#listeners.delete(listen);
  }

  /** From the next row on, values stand for these tags. A tag of the detector that is not among them has no value. */
  retag(tags: readonly string[]): Promise<void> {
    return this.#inTurn(async () => {
      this.#tags = tags;
      const running = this.#running;
      if (running === null) return;
      const names = running.detector.metadata.schema.tags.map((tag) => tag.name);
      const missing = names.filter((name) => !tags.includes(name));
      if (missing.length > 0)
        this.#options.log.warn({ missing }, 'the detector needs tags that no device has any more');
      this.#running = { ...running, places: names.map((name) => tags.indexOf(name)) };
    });
  }

  get modelVersion(): string | null {
    return this.#running?.detector.metadata.modelVersion ?? null;
  }

  /** The newest row for the page, null before the first. */
  get latest(): Telemetry | null {
    return this.#latest;
  }

  /** Names of the alarms that are on. */
  get activeAlarms(): { readonly anomaly: string | null; readonly communication: string | null } {
    const { agent } = this.#options;
    const { alarmNumber, active } = this.#state;
    const { isActive, alarmNumber: communicationNumber } = this.#communication;
    return {
      anomaly: active === null ? null : `${agent}:${alarmNumber}`,
      communication: isActive ? `${agent}:c${communicationNumber}` : null,
    };
  }

  /** Where the alarm was when the process ended. */
  async restore(): Promise<void> {
    const { store, clock } = this.#options;
    const kept = await store.call('alarmState');
    // Without a past (a new disk), numbers start from the clock: an event id that a server has journalled is never used again.
    this.#state =
      kept === null
        ? { ...QUIET_ALARM, alarmNumber: Math.floor(clock.now() / 1_000) }
        : (JSON.parse(kept) as AlarmState);
    const communication = (this.#state as Partial<Kept>).communication;
    this.#communication = communication ?? { ...QUIET_COMMUNICATION, alarmNumber: this.#state.alarmNumber };
  }

  /**
   * Takes a detector into use between two rows, its windows filled from stored rows, and from those that come while the store is asked: the one
   * before goes on until then, and is closed.
   */
  async use(detector: Detector): Promise<void> {
    const { schema, threshold, alarm } = detector.metadata;
    const { store } = this.#options;
    const names = schema.tags.map((tag) => tag.name);
    const depth = Math.max(1, ...schema.features.map((spec) => ('rows' in spec ? spec.rows : 0)));
    const needed = depth + schema.holdRows + WARM_UP_SPARE_ROWS;
    const meanwhile: Row[] = [];
    const keep = (row: Row) => {
      const values = Float64Array.from(names, (name) => row.values[this.#tags.indexOf(name)] ?? Number.NaN);
      meanwhile.push({ ...row, values });
      if (meanwhile.length > needed) meanwhile.shift();
    };
    this.#listeners.add(keep);
    try {
      const past = await store.call('rows', names, needed);
      await this.#inTurn(async () => {
        const extractor = new FeatureExtractor(schema);
        for (let i = 0; i < past.count; i++)
          extractor.push({
            timeMs: past.timesMs[i]!,
            values: past.values.subarray(i * names.length, (i + 1) * names.length),
          });
        let newestMs = past.timesMs[past.count - 1] ?? null;
        const stored = new Set(past.timesMs);
        for (const row of meanwhile) {
          if (stored.has(row.timeMs)) continue;
          extractor.push(row);
          newestMs = row.timeMs;
        }
        const before = this.#running;
        const places = names.map((name) => this.#tags.indexOf(name));
        this.#running = { detector, extractor, places, parameters: { ...alarm, threshold }, newestMs };
        await before?.detector.close();
      });
    } finally {
      this.#listeners.delete(keep);
    }
  }

  /**
   * A detector that fails on a row costs its score, not the row.
   * @param timeKnown false while the machine's clock is not set and no device serves a time: such a row is not learned from.
   */
  row(assembled: AssembledRow, timeKnown: boolean): Promise<void> {
    return this.#inTurn(() => this.#judge(assembled, timeKnown));
  }

  /** Whether an alarm of that name says that values do not come, be it on or over. */
  isCommunicationAlarm(alarmId: string): boolean {
    const prefix = `${this.#options.agent}:c`;
    if (!alarmId.startsWith(prefix)) return false;
    const number = Number(alarmId.slice(prefix.length));
    return number >= 1 && number <= this.#communication.alarmNumber;
  }

  /**
   * Acknowledges, shelves or unshelves the alarm that is on; one that says that values do not come can be acknowledged only.
   * @returns whether anything changed: nothing does for another alarm than the newest, or one that is over or in that state already.
   */
  async operate({ action, alarmId, shelveMs }: AlarmOperation): Promise<boolean> {
    let changed = false;
    await this.#inTurn(async () => {
      if (alarmId === `${this.#options.agent}:c${this.#communication.alarmNumber}`) {
        if (action === 'acknowledge') changed = this.#acknowledgeCommunication();
        return;
      }
      if (alarmId !== `${this.#options.agent}:${this.#state.alarmNumber}` || this.#running === null) return;
      const timeMs = this.#state.rowTimeMs ?? 0;
      const input: AlarmInput =
        action === 'shelve' ? { kind: 'shelve', timeMs, untilMs: timeMs + (shelveMs ?? 0) } : { kind: action, timeMs };
      const step = alarmStep(this.#state, input, this.#running.parameters);
      this.#state = step.state;
      changed = step.effects.length > 0;
      for (const effect of step.effects) this.#tell(effect, [], this.#running, 0);
    });
    return changed;
  }

  /** Rows for which a tag that is not good keeps its last good value. */
  get holdRows(): number {
    return this.#running?.detector.metadata.schema.holdRows ?? HOLD_ROWS;
  }

  /** No row has come since `sinceMs`: what a row without any value would be. `reason` is what is known of it. */
  silence(atMs: number, sinceMs: number, reason: string): Promise<void> {
    return this.#inTurn(async () => {
      const { state, effect } = communicationStep(this.#communication, this.#tags, 0, sinceMs);
      this.#communication = state;
      if (effect !== null) this.#tellCommunication(effect, atMs, () => reason);
    });
  }

  #communicate(atMs: number, bad: readonly string[], reasonOf: (tag: string) => string): void {
    const { state, effect } = communicationStep(this.#communication, bad, this.holdRows, atMs);
    this.#communication = state;
    if (effect !== null) this.#tellCommunication(effect, atMs, reasonOf);
  }

  #acknowledgeCommunication(): boolean {
    const { state, effect } = acknowledgeCommunication(this.#communication);
    this.#communication = state;
    if (effect !== null) this.#tellCommunication(effect, this.#latest?.atMs ?? this.#options.clock.now(), () => '');
    return effect !== null;
  }

  #tellCommunication(effect: CommunicationEffect, atMs: number, reasonOf: (tag: string) => string): void {
    const { agent, store, onAlarm, devices } = this.#options;
    const alarmId = `${agent}:c${effect.alarmNumber}`;
    const tags = effect.tags.slice(0, NAMED_TAGS);
    const reason = [...new Set(tags.map(reasonOf))].join('; ').slice(0, LONGEST_REASON);
    const silent = new Set(effect.tags);
    const theirs = devices().flatMap(({ name, tags: own }) => (own.some((tag) => silent.has(tag)) ? [name] : []));
    const event: AlarmEvent = {
      eventId: `${alarmId}:${effect.transitionNumber}`,
      alarmId,
      agent,
      transition: effect.transition,
      atMs,
      score: 0,
      threshold: 0,
      modelVersion: this.modelVersion ?? 'none',
      contributions: [],
      latencyMs: 0,
      communication: {
        ...{ tags, reason, devices: theirs.slice(0, NAMED_TAGS) },
        ...(effect.sinceMs === null ? {} : { sinceMs: effect.sinceMs }),
      },
    };
    store.write({ op: 'alarm', event, alarmState: this.#keptState() });
    onAlarm(event);
  }

  #keptState(): string {
    return JSON.stringify({ ...this.#state, communication: { ...this.#communication, badRows: {} } } satisfies Kept);
  }

  async close(): Promise<void> {
    await this.#inTurn(async () => {
      await this.#running?.detector.close();
      this.#running = null;
    });
  }

  async #judge({ row, quality, reasons, receivedMs }: AssembledRow, timeKnown: boolean): Promise<void> {
    const { store, clock, log } = this.#options;
    const tags = this.#tags;
    const running = this.#running;
    let score: number | null = null;
    if (running !== null) {
      // The same row twice would look like time that stands still, and empty the windows.
      if (running.newestMs === row.timeMs) return;
      running.newestMs = row.timeMs;
      let features: Float32Array | null = null;
      try {
        const values = Float64Array.from(running.places, (place) => row.values[place] ?? Number.NaN);
        features = running.extractor.push({ timeMs: row.timeMs, values });
        score = features === null ? null : await running.detector.score(features);
      } catch (error) {
        log.error({ error: String(error), atMs: row.timeMs }, 'a row could not be scored');
      }
      // A row that was judged but not stored before a crash fills the windows; its alarm is in the outbox already.
      const step =
        this.#state.rowTimeMs === row.timeMs
          ? { state: this.#state, effects: [] }
          : alarmStep(this.#state, { kind: 'row', timeMs: row.timeMs, score }, running.parameters);
      const latencyMs = clock.monotonic() - receivedMs;
      this.#state = step.state;
      this.latency.add(latencyMs);
      for (const effect of step.effects) {
        const contributions = effect.transition === 'raised' ? await this.#explain(running, features, row.values) : [];
        this.#tell(effect, contributions, running, latencyMs);
      }
    }
    this.#communicate(
      row.timeMs,
      tags.filter((_, i) => quality[i] !== 'good'),
      (tag) => reasons[tags.indexOf(tag)] ?? 'not good',
    );
    const alarmState = running === null ? null : this.#keptState();
    for (const listen of this.#listeners) listen(row);
    const { timeMs, sequence, values } = row;
    store.write({
      op: 'row',
      timeMs,
      sequence,
      tags,
      values,
      label: timeKnown ? this.#label(values) : UNKNOWN,
      score,
      alarmState,
    });
    this.#latest = {
      atMs: timeMs,
      score,
      values: Object.fromEntries(
        tags.map((tag, i) => [tag, { value: Number.isFinite(values[i]) ? values[i]! : null, quality: quality[i]! }]),
      ),
    };
  }

  async #explain(
    running: Running,
    features: Float32Array | null,
    values: Float64Array,
  ): Promise<readonly Contribution[]> {
    if (features === null) return [];
    const { log } = this.#options;
    const tags = this.#tags;
    try {
      return await running.detector.contributions(features, (tag) => values[tags.indexOf(tag)] ?? Number.NaN);
    } catch (error) {
      log.error({ error: String(error) }, 'an alarm could not be explained');
      return [];
    }
  }

  #tell(effect: AlarmEffect, contributions: readonly Contribution[], running: Running, latencyMs: number): void {
    const { agent, store, onAlarm } = this.#options;
    const alarmId = `${agent}:${effect.alarmNumber}`;
    const event: AlarmEvent = {
      eventId: `${alarmId}:${effect.transitionNumber}`,
      alarmId,
      agent,
      transition: effect.transition,
      atMs: effect.atMs,
      score: effect.score,
      peakScore: effect.peakScore,
      threshold: running.parameters.threshold,
      modelVersion: running.detector.metadata.modelVersion,
      contributions: contributions.filter(({ value }) => Number.isFinite(value)),
      latencyMs,
    };
    store.write({ op: 'alarm', event, alarmState: this.#keptState() });
    onAlarm(event);
  }

  #label(values: Float64Array): RowLabel {
    const { labelTag } = this.#options;
    const tags = this.#tags;
    const value = labelTag === null ? Number.NaN : (values[tags.indexOf(labelTag)] ?? Number.NaN);
    return Number.isNaN(value) ? UNLABELLED : value === 0 ? NORMAL : ANOMALOUS;
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch((error: unknown) =>
      this.#options.log.error({ error: String(error) }, 'detection step failed'),
    );
    return turn;
  }
}
