import { TwinwatchError } from '../errors.js';
import type { Row } from '../scada/sample.js';
import { RollingWindow } from './rolling-window.js';
import { type DeclaredInputs, describeInputs } from './schema.js';
import type { FeatureSchema, FeatureSpec, ResidualSpec, RuleCondition } from './spec.js';

const GAP_INTERVALS = 1.5;
const DAY_MS = 86_400_000;

/** What the extractor needs of a row. */
type FeatureRow = Pick<Row, 'timeMs' | 'values'>;

/** Width of the model's input. */
export function inputCount(schema: DeclaredInputs): number {
  return describeInputs(schema).length;
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
  /** Tag that each input is computed from, or that a residual explains; null for the hour of day. */
  readonly inputTags: readonly (string | null)[];

  readonly #schema: FeatureSchema;
  readonly #plan: Plan;
  readonly #output: Float32Array;
  /** Ring of past rows, [plan.depth × tags]. */
  readonly #history: Float64Array;
  /** sin1, cos1, sin2 … of the row's time of day, as many as any feature needs. */
  readonly #hours: Float64Array;
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
    this.#hours = new Float64Array(this.#plan.hourCount);
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
    for (const { means } of this.#plan.residuals) for (const { window } of means) window.clear();
    for (const { means } of this.#plan.rules)
      for (const { kept, switched } of means) for (const each of [kept, switched]) each.clear();
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
    const hours = this.#hours;
    const angle = (2 * Math.PI * (((timeMs % DAY_MS) + DAY_MS) % DAY_MS)) / DAY_MS;
    for (let k = 0; 2 * k < hours.length; k++) {
      hours[2 * k] = Math.sin((k + 1) * angle);
      hours[2 * k + 1] = Math.cos((k + 1) * angle);
    }
    for (const { count, position } of this.#plan.hours)
      for (let k = 0; k < count; k++) output[position + k] = hours[k]!;
    for (const residual of this.#plan.residuals) {
      const value = this.#residual(residual);
      for (const { window, position } of residual.means) {
        window.push(value);
        output[position] = window.mean();
      }
    }
    for (const rule of this.#plan.rules) {
      const { kept, switched } = this.#brokenRule(rule);
      for (const mean of rule.means) {
        mean.kept.push(kept);
        mean.switched.push(switched);
        output[mean.position] = mean.kept.mean();
        output[mean.position + 1] = mean.switched.mean();
      }
    }
  }

  /** Both NaN where there is no row before. */
  #brokenRule({ state, on, off }: Plan['rules'][number]): { kept: number; switched: number } {
    const [now, before] = [this.#past(state, 0), this.#past(state, 1)];
    const beyond = ({ tag, threshold, sign }: PlannedCondition, rowsAgo: number): number =>
      sign * (this.#past(tag, rowsAgo) - threshold);
    const [isOn, wasOn] = [now >= 0.5, before >= 0.5];
    const leaving = isOn ? off : on;
    const entering = isOn ? on : off;
    const kept = Math.max(0, Math.min(beyond(leaving, 0), beyond(leaving, 1)));
    const switched = isOn === wasOn ? 0 : Math.max(0, -Math.max(beyond(entering, 0), beyond(entering, 1)));
    const known = Number.isNaN(before) ? Number.NaN : 0;
    return { kept: kept + known, switched: switched + known };
  }

  #residual({ tag, isChange, spec, termTags }: Plan['residuals'][number]): number {
    let rest = this.#past(tag, 0) - spec.offset;
    if (isChange) rest -= this.#past(tag, 1);
    for (let i = 0; i < termTags.length; i++) {
      const { rowsAgo, power, weight } = spec.terms[i]!;
      const value = this.#past(termTags[i]!, rowsAgo);
      rest -= weight * (power === 2 ? value * value : value);
    }
    for (let k = 0; k < spec.hours.length; k++) rest -= spec.hours[k]! * this.#hours[k]!;
    return rest;
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
  readonly hours: readonly { count: number; position: number }[];
  readonly hourCount: number;
  readonly residuals: readonly {
    readonly tag: number;
    readonly isChange: boolean;
    readonly spec: ResidualSpec;
    /** Indices of the tags of spec.terms. */
    readonly termTags: readonly number[];
    readonly means: readonly { readonly window: RollingWindow; readonly position: number }[];
  }[];
  readonly rules: readonly {
    readonly state: number;
    readonly on: PlannedCondition;
    readonly off: PlannedCondition;
    readonly means: readonly {
      readonly kept: RollingWindow;
      readonly switched: RollingWindow;
      /** Of `kept`; `switched` follows. */
      readonly position: number;
    }[];
  }[];
}

/** Holds where sign · (tag − threshold) is above 0. */
interface PlannedCondition {
  readonly tag: number;
  readonly threshold: number;
  readonly sign: 1 | -1;
}

function planFeatures(schema: FeatureSchema): Plan {
  const tagIndex = new Map(schema.tags.map((tag, index) => [tag.name, index]));
  const points: Plan['points'][number][] = [];
  const rolling = new Map<string, Plan['rolling'][number]>();
  const hours: Plan['hours'][number][] = [];
  const residuals: Plan['residuals'][number][] = [];
  const rules: Plan['rules'][number][] = [];
  let position = 0;
  const indexOf = (name: string, type: FeatureSpec['type']): number => {
    const tag = tagIndex.get(name);
    if (tag !== undefined) return tag;
    throw new TwinwatchError(
      'FEATURES_UNKNOWN_TAG',
      `feature ${type} needs tag '${name}', which the schema does not list; add the tag or remove the feature`,
    );
  };
  for (const spec of schema.features) {
    if (spec.type === 'hourOfDay') {
      hours.push({ count: 2 * spec.harmonics, position });
      position += 2 * spec.harmonics;
      continue;
    }
    if (spec.type === 'rule') {
      const condition = ({ tag, below, above }: RuleCondition): PlannedCondition => ({
        tag: indexOf(tag, spec.type),
        threshold: below ?? above ?? Number.NaN,
        sign: below === undefined ? 1 : -1,
      });
      const means = spec.windows.map((rows) => {
        const mean = { kept: new RollingWindow(rows), switched: new RollingWindow(rows), position };
        position += 2;
        return mean;
      });
      rules.push({ state: indexOf(spec.state, spec.type), on: condition(spec.on), off: condition(spec.off), means });
      continue;
    }
    const tag = indexOf(spec.tag, spec.type);
    if (spec.type === 'residual') {
      const termTags = spec.terms.map((term) => indexOf(term.tag, spec.type));
      const means = spec.windows.map((rows) => ({ window: new RollingWindow(rows), position: position++ }));
      residuals.push({ tag, isChange: spec.of === 'change', spec, termTags, means });
      continue;
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
  const lookBacks = [
    ...points.map((point) => point.rowsAgo),
    ...residuals.flatMap(({ isChange, spec }) => [isChange ? 1 : 0, ...spec.terms.map((term) => term.rowsAgo)]),
    rules.length > 0 ? 1 : 0,
  ];
  const hourCounts = [...hours.map(({ count }) => count), ...residuals.map(({ spec }) => spec.hours.length)];
  const largest = (numbers: readonly number[]): number => numbers.reduce((most, each) => Math.max(most, each), 0);
  return {
    depth: 1 + largest(lookBacks),
    usedTags: [
      ...new Set([
        ...[...points, ...rolling.values(), ...residuals].map((feature) => feature.tag),
        ...residuals.flatMap(({ termTags }) => termTags),
        ...rules.flatMap(({ state, on, off }) => [state, on.tag, off.tag]),
      ]),
    ],
    points,
    rolling: [...rolling.values()],
    hours,
    hourCount: 2 * Math.ceil(largest(hourCounts) / 2),
    residuals,
    rules,
  };
}
