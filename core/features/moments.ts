import { TwinwatchError } from '../errors.js';
import { describeInputs } from './schema.js';
import type { FeatureSchema } from './spec.js';

/** Count, mean and sum of squared deviations of every input: [inputs] each. Plain numbers, as they travel. */
export interface MomentsSummary {
  readonly count: number;
  readonly mean: ArrayLike<number>;
  readonly m2: ArrayLike<number>;
}

/** scaled = clamp((x − mean) / scale, ±clip). [inputs] each, single-precision numbers. */
export interface Scaler {
  readonly mean: readonly number[];
  readonly scale: readonly number[];
  readonly clip: number;
}

/** Running moments of the inputs (Welford), which merge exactly: what a site tells about its rows instead of the rows. */
export class Moments implements MomentsSummary {
  readonly mean: Float64Array;
  readonly m2: Float64Array;
  #count = 0;

  constructor(inputs: number) {
    this.mean = new Float64Array(inputs);
    this.m2 = new Float64Array(inputs);
  }

  get count(): number {
    return this.#count;
  }

  /** @param features one row, or several: [n × inputs]. */
  add(features: ArrayLike<number>): void {
    const inputs = this.mean.length;
    if (features.length % inputs !== 0) throw wrongWidth(features.length, inputs);
    for (let start = 0; start < features.length; start += inputs) {
      this.#count++;
      for (let i = 0; i < inputs; i++) {
        const value = features[start + i]!;
        const before = value - this.mean[i]!;
        this.mean[i]! += before / this.#count;
        this.m2[i]! += before * (value - this.mean[i]!);
      }
    }
  }

  toJSON(): { count: number; mean: number[]; m2: number[] } {
    return { count: this.#count, mean: [...this.mean], m2: [...this.m2] };
  }

  /**
   * Moments of all rows together, from the moments of the parts (Chan, Golub and LeVeque 1979, pairwise update).
   * @throws TwinwatchError FEATURES_MOMENTS where there is nothing to merge, or widths differ or numbers are impossible.
   */
  static merge(parts: readonly MomentsSummary[]): Moments {
    const inputs = parts[0]?.mean.length;
    if (inputs === undefined) {
      throw new TwinwatchError('FEATURES_MOMENTS', 'no moments to merge; wait until an agent has sent its own');
    }
    const merged = new Moments(inputs);
    for (const part of parts) {
      if (part.mean.length !== inputs || part.m2.length !== inputs) throw wrongWidth(part.mean.length, inputs);
      if (!Number.isSafeInteger(part.count) || part.count < 0) throw impossible('count', part.count);
      if (part.count === 0) continue;
      const before = merged.#count;
      merged.#count += part.count;
      for (let i = 0; i < inputs; i++) {
        const mean = part.mean[i]!;
        const m2 = part.m2[i]!;
        if (!Number.isFinite(mean)) throw impossible(`mean of input ${i}`, mean);
        if (!(m2 >= 0 && m2 < Number.POSITIVE_INFINITY)) throw impossible(`m2 of input ${i}`, m2);
        const apart = mean - merged.mean[i]!;
        merged.mean[i]! += (apart * part.count) / merged.#count;
        merged.m2[i]! += m2 + (apart * apart * before * part.count) / merged.#count;
      }
    }
    return merged;
  }
}

/**
 * Mean and standard deviation of every input, the deviation floored by the resolution of the input's tag: a tag that never moved in
 * the normal data is then one unit of scale per resolution step when it first moves, instead of infinity or nothing.
 * A residual's mean over w rows has a floor of resolution/√w (ours): errors of independent rows average out, and a shift of the mean that one
 * row cannot resolve is what it is there to show.
 * The hour of day is within ±1 already and is passed as it is, whatever hours the rows came from.
 *
 * Mean and scale are rounded to single precision, so that ONNX runtimes and this code subtract the same number.
 * @throws TwinwatchError FEATURES_MOMENTS where the moments are of no rows or of another schema.
 */
export function scalerFrom(moments: MomentsSummary, schema: FeatureSchema, options: { readonly clip: number }): Scaler {
  const described = describeInputs(schema);
  if (moments.mean.length !== described.length) throw wrongWidth(moments.mean.length, described.length);
  if (moments.count < 1) {
    throw new TwinwatchError('FEATURES_MOMENTS', 'moments of no rows cannot scale anything; wait for rows');
  }
  const resolution = new Map(schema.tags.map((tag) => [tag.name, tag.resolution]));
  const mean: number[] = [];
  const scale: number[] = [];
  described.forEach(({ tag, averagedRows, unitTag = tag }, i) => {
    const deviation = Math.sqrt(moments.m2[i]! / moments.count);
    const floor = Math.max((resolution.get(unitTag ?? '') ?? 0) / Math.sqrt(averagedRows), Number.EPSILON);
    mean.push(tag === null ? 0 : Math.fround(moments.mean[i]!));
    scale.push(tag === null ? 1 : Math.fround(Math.max(deviation, floor)));
  });
  return { mean, scale, clip: options.clip };
}

/** @param features [n × inputs]. @returns the same shape, scaled and clipped. */
export function scaleRows(features: Float32Array, scaler: Scaler, inputs: number): Float32Array {
  if (scaler.mean.length !== inputs || scaler.scale.length !== inputs) throw wrongWidth(scaler.mean.length, inputs);
  if (features.length % inputs !== 0) throw wrongWidth(features.length, inputs);
  const mean = Float32Array.from(scaler.mean);
  const scale = Float32Array.from(scaler.scale);
  const { clip } = scaler;
  const scaled = new Float32Array(features.length);
  for (let start = 0; start < features.length; start += inputs) {
    for (let i = 0; i < inputs; i++) {
      const value = Math.fround(features[start + i]! - mean[i]!) / scale[i]!;
      scaled[start + i] = value > clip ? clip : value < -clip ? -clip : value;
    }
  }
  return scaled;
}

function wrongWidth(found: number, inputs: number): TwinwatchError {
  return new TwinwatchError(
    'FEATURES_MOMENTS',
    `${found} numbers do not make rows of ${inputs} inputs; both ends must use the same schema`,
  );
}

function impossible(what: string, value: number): TwinwatchError {
  return new TwinwatchError('FEATURES_MOMENTS', `${what} is ${value}, which no rows can have; the summary is damaged`);
}
