import { TwinwatchError } from '../errors.js';
import type { Row } from '../scada/sample.js';
import { RollingWindow } from './rolling-window.js';
import { describeInputs } from './schema.js';
import type { FeatureSchema } from './spec.js';

const GAP_INTERVALS = 1.5;
const DAY_MS = 86_400_000;

/** What the extractor needs of a row. */
type FeatureRow = Pick<Row, 'timeMs' | 'values'>;

/** Width of the model's input. */
export function inputCount(schema: FeatureSchema): number {
  return schema.features.reduce((sum, spec) => sum + (spec.type === 'hourOfDay' ? 2 * spec.harmonics : 1), 0);
}

/**
 * Rows in, the model's input out: the only code that computes features, for live, replayed, imported and twin rows alike.
 *
 * A value that is not a finite number is not good. Its tag keeps the last good value for at most holdRows rows; after that the
 * extractor abstains, and goes on abstaining until every feature is again computed from good or held values only. A gap of more
 * than 1.5 intervals, or a time that does not advance, empties the window and all that is held.
 */
export class FeatureExtractor {
  readonly inputs: number;
  readonly names: readonly string[];
  /** Tag that each input is computed from; null for the hour of day. */
  readonly inputTags: readonly (string | null)[];

  readonly #schema: FeatureSchema;
  readonly #plan: Plan;
  readonly #output: Float32Array;
  /** Ring of past rows, [plan.depth × tags]. */
  readonly #history: Float64Array;
  /** Per tag: rows since it was last good, and the value held. */
  readonly #badRows: Int32Array;
  readonly #lastGood: Float64Array;
  #at = 0;
  #lastTimeMs = Number.NEGATIVE_INFINITY;

  /** @throws TwinwatchError FEATURES_UNKNOWN_TAG where a feature names a tag that the schema does not list. */
  constructor(schema: FeatureSchema) {
    const described = describeInputs(schema);
    this.inputs = described.length;
    this.names = described.map((input) => input.name);
    this.inputTags = described.map((input) => input.tag);
    this.#schema = schema;
    this.#plan = planFeatures(schema);
    this.#output = new Float32Array(this.inputs);
    this.#history = new Float64Array(this.#plan.depth * schema.tags.length).fill(Number.NaN);
    this.#badRows = new Int32Array(schema.tags.length);
    this.#lastGood = new Float64Array(schema.tags.length).fill(Number.NaN);
  }

  /** Names of tags that have not been good for more than holdRows rows. */
  get abstaining(): readonly string[] {
    const { tags, holdRows } = this.#schema;
    return this.#plan.usedTags.filter((tag) => this.#badRows[tag]! > holdRows).map((tag) => tags[tag]!.name);
  }

  reset(): void {
    this.#history.fill(Number.NaN);
    this.#lastGood.fill(Number.NaN);
    this.#badRows.fill(0);
    for (const { window } of this.#plan.rolling) window.clear();
    this.#at = 0;
    this.#lastTimeMs = Number.NEGATIVE_INFINITY;
  }

  /**
   * @param row values [tags] in the order of the schema's tags.
   * @returns [inputs], a view reused by the next call; null while warming up, after a gap, and while abstaining.
   * @throws TwinwatchError FEATURES_ROW_SHAPE where the row has another number of values than the schema has tags.
   */
  push(row: FeatureRow): Float32Array | null {
    const tagCount = this.#schema.tags.length;
    if (row.values.length !== tagCount) {
      throw new TwinwatchError(
        'FEATURES_ROW_SHAPE',
        `a row has ${row.values.length} values, the schema ${tagCount} tags; give them in the schema's order`,
      );
    }
    const elapsedMs = row.timeMs - this.#lastTimeMs;
    const first = this.#lastTimeMs === Number.NEGATIVE_INFINITY;
    if (!first && (elapsedMs > GAP_INTERVALS * this.#schema.intervalMs || elapsedMs <= 0)) this.reset();
    this.#lastTimeMs = row.timeMs;
    this.#at = (this.#at + 1) % this.#plan.depth;
    const allTagsKnown = this.#hold(row.values);
    this.#compute(row.timeMs);
    return allTagsKnown && !this.#output.some(Number.isNaN) ? this.#output : null;
  }

  /** Puts the row into the ring, held values where it has none; false where a used tag has neither. */
  #hold(values: Float64Array): boolean {
    const start = this.#at * values.length;
    let allKnown = true;
    for (const tag of this.#plan.usedTags) {
      const value = values[tag]!;
      if (Number.isFinite(value)) {
        this.#badRows[tag] = 0;
        this.#lastGood[tag] = value;
      } else {
        this.#badRows[tag]!++;
        if (this.#badRows[tag]! > this.#schema.holdRows) this.#lastGood[tag] = Number.NaN;
      }
      const kept = this.#lastGood[tag]!;
      this.#history[start + tag] = kept;
      if (Number.isNaN(kept)) allKnown = false;
    }
    return allKnown;
  }

  #past(tag: number, rowsAgo: number): number {
    const row = (this.#at - rowsAgo + this.#plan.depth) % this.#plan.depth;
    return this.#history[row * this.#schema.tags.length + tag]!;
  }

  /** NaN is left where a feature has no value yet. */
  #compute(timeMs: number): void {
    const output = this.#output;
    for (const { tag, rowsAgo, isDifference, position } of this.#plan.points) {
      const past = this.#past(tag, rowsAgo);
      output[position] = isDifference ? this.#past(tag, 0) - past : past;
    }
    for (const { tag, window, means, deviations } of this.#plan.rolling) {
      window.push(this.#past(tag, 0));
      for (const position of means) output[position] = window.mean();
      for (const position of deviations) output[position] = window.standardDeviation();
    }
    for (const { harmonics, position } of this.#plan.hours) {
      const angle = (2 * Math.PI * (((timeMs % DAY_MS) + DAY_MS) % DAY_MS)) / DAY_MS;
      for (let k = 0; k < harmonics; k++) {
        output[position + 2 * k] = Math.sin((k + 1) * angle);
        output[position + 2 * k + 1] = Math.cos((k + 1) * angle);
      }
    }
  }
}

/** Features of a run of rows. */
export interface ExtractedFeatures {
  /** [count × inputs], row-major. */
  readonly features: Float32Array;
  /** [count], source times. */
  readonly timesMs: Float64Array;
  /** [count], position of each in the rows given; rows without features are left out. */
  readonly rowIndex: Int32Array;
  readonly count: number;
}

/** Features of rows in the order of time, as a FeatureExtractor gives them row by row. Episodes that do not follow each other need calls of their own. */
export function extractAll(schema: FeatureSchema, rows: Iterable<FeatureRow>): ExtractedFeatures {
  const extractor = new FeatureExtractor(schema);
  const { inputs } = extractor;
  let features = new Float32Array(1_024 * inputs);
  const timesMs: number[] = [];
  const rowIndex: number[] = [];
  let index = 0;
  for (const row of rows) {
    const computed = extractor.push(row);
    if (computed !== null) {
      const start = rowIndex.length * inputs;
      if (start === features.length) {
        const larger = new Float32Array(2 * features.length);
        larger.set(features);
        features = larger;
      }
      features.set(computed, start);
      timesMs.push(row.timeMs);
      rowIndex.push(index);
    }
    index++;
  }
  const count = rowIndex.length;
  return {
    features: features.slice(0, count * inputs),
    timesMs: Float64Array.from(timesMs),
    rowIndex: Int32Array.from(rowIndex),
    count,
  };
}

interface Plan {
  /** Rows of history kept, the current one included. */
  readonly depth: number;
  /** Indices of the tags that any feature is computed from. */
  readonly usedTags: readonly number[];
  /** raw, lag and delta. */
  readonly points: readonly { tag: number; rowsAgo: number; isDifference: boolean; position: number }[];
  /** One window per (tag, rows), shared by mean and deviation. */
  readonly rolling: readonly { tag: number; window: RollingWindow; means: number[]; deviations: number[] }[];
  readonly hours: readonly { harmonics: number; position: number }[];
}

function planFeatures(schema: FeatureSchema): Plan {
  const tagIndex = new Map(schema.tags.map((tag, index) => [tag.name, index]));
  const points: Plan['points'][number][] = [];
  const rolling = new Map<string, Plan['rolling'][number]>();
  const hours: Plan['hours'][number][] = [];
  let position = 0;
  for (const spec of schema.features) {
    if (spec.type === 'hourOfDay') {
      hours.push({ harmonics: spec.harmonics, position });
      position += 2 * spec.harmonics;
      continue;
    }
    const tag = tagIndex.get(spec.tag);
    if (tag === undefined) {
      throw new TwinwatchError(
        'FEATURES_UNKNOWN_TAG',
        `feature ${spec.type} needs tag '${spec.tag}', which the schema does not list; add the tag or remove the feature`,
      );
    }
    if (spec.type === 'rollingMean' || spec.type === 'rollingStd') {
      const key = `${tag}:${spec.rows}`;
      const shared = rolling.get(key) ?? { tag, window: new RollingWindow(spec.rows), means: [], deviations: [] };
      rolling.set(key, shared);
      (spec.type === 'rollingMean' ? shared.means : shared.deviations).push(position);
    } else {
      points.push({
        tag,
        rowsAgo: spec.type === 'raw' ? 0 : spec.rows,
        isDifference: spec.type === 'delta',
        position,
      });
    }
    position++;
  }
  const depth = 1 + points.reduce((most, point) => Math.max(most, point.rowsAgo), 0);
  const usedTags = [...new Set([...points, ...rolling.values()].map((feature) => feature.tag))];
  return { depth, usedTags, points, rolling: [...rolling.values()], hours };
}
