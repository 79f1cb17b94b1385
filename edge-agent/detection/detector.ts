import { TwinwatchError } from '@twinwatch/core/errors';
import { FeatureExtractor } from '@twinwatch/core/features/extractor';
import { scaleRows } from '@twinwatch/core/features/moments';
import { forward } from '@twinwatch/core/learning/network';
import { createRandom } from '@twinwatch/core/learning/random';
import { type DetectorMetadata, readOnnxModel } from '@twinwatch/core/onnx/metadata';
import ort from 'onnxruntime-node';

export interface Contribution {
  readonly tag: string;
  /** Of the alarm; all shares together are at most 1. */
  readonly share: number;
  /** The tag's value in the row. */
  readonly value: number;
}

const TOLERANCE = 1e-5;
const CHECK_ROWS = 16;
const MAXIMUM_CONTRIBUTIONS = 8;

/** A released detector in onnxruntime. Everything it needs, thresholds and features included, comes out of its file. */
export class Detector {
  readonly metadata: DetectorMetadata;
  readonly #session: ort.InferenceSession;
  readonly #row: Float32Array;
  readonly #feeds: Record<string, ort.Tensor>;
  /** Tag → inputs that are computed from it. */
  readonly #tagInputs: ReadonlyMap<string, readonly number[]>;

  /**
   * Loads and checks: the right inputs and outputs, tags that this site has, and on random rows the scores that the parameters in the file give.
   * @throws TwinwatchError DETECTOR_REFUSED with what is wrong; whatever ran before should go on running.
   */
  static async load(bytes: Uint8Array, siteTags: readonly string[]): Promise<Detector> {
    try {
      const { metadata, parameters } = readOnnxModel(bytes);
      const missing = metadata.schema.tags.map((tag) => tag.name).filter((name) => !siteTags.includes(name));
      if (missing.length > 0) throw refused(`it looks at tags that this site does not have: ${missing.join(', ')}`);
      const session = await ort.InferenceSession.create(bytes, {
        intraOpNumThreads: 1,
        interOpNumThreads: 1,
        executionMode: 'sequential',
        logSeverityLevel: 3,
      });
      if (session.inputNames.join() !== 'features' || session.outputNames.join() !== 'score')
        throw refused(
          `its inputs are [${session.inputNames}] and outputs [${session.outputNames}], not features and score`,
        );
      const detector = new Detector(metadata, session);
      await detector.#check(parameters);
      return detector;
    } catch (cause) {
      if (cause instanceof TwinwatchError && cause.code === 'DETECTOR_REFUSED') throw cause;
      throw refused(cause instanceof Error ? cause.message : String(cause), cause);
    }
  }

  private constructor(metadata: DetectorMetadata, session: ort.InferenceSession) {
    const { inputs, inputTags } = new FeatureExtractor(metadata.schema);
    this.metadata = metadata;
    this.#session = session;
    this.#row = new Float32Array(inputs);
    this.#feeds = { features: new ort.Tensor('float32', this.#row, [1, inputs]) };
    const tagInputs = new Map<string, number[]>();
    for (const [i, tag] of inputTags.entries())
      if (tag !== null) tagInputs.set(tag, [...(tagInputs.get(tag) ?? []), i]);
    this.#tagInputs = tagInputs;
  }

  /** @param features [inputs], engineering units. @returns 0 … 1. */
  async score(features: Float32Array): Promise<number> {
    this.#row.set(features);
    const { score } = await this.#session.run(this.#feeds);
    return (score!.data as Float32Array)[0]!;
  }

  /**
   * Which tags make the score what it is, most first. Two questions per tag, in one batch: how far does the score fall when this tag's inputs
   * are at their normal mean, and how far does it rise when all others are? The second one still answers where two
   * tags say the same, or the score is at its ceiling. Falls and rises are counted in log-odds: near 0 and 1 a score itself hardly
   * moves, and every tag would get the same share.
   */
  async contributions(features: Float32Array, tagValue: (tag: string) => number): Promise<Contribution[]> {
    const inputs = features.length;
    const tags = [...this.#tagInputs.keys()];
    const baseline = Float32Array.from(this.metadata.baseline);
    const batch = new Float32Array((2 + 2 * tags.length) * inputs);
    batch.set(features, 0);
    batch.set(baseline, inputs);
    for (const [t, tag] of tags.entries()) {
      const without = batch.subarray((2 + 2 * t) * inputs, (3 + 2 * t) * inputs);
      const alone = batch.subarray((3 + 2 * t) * inputs, (4 + 2 * t) * inputs);
      without.set(features);
      alone.set(baseline);
      for (const i of this.#tagInputs.get(tag)!) {
        without[i] = baseline[i]!;
        alone[i] = features[i]!;
      }
    }
    const scores = (await this.#batch(batch, inputs)).map(logOdds);
    const moved = tags.map((tag, t) => ({
      tag,
      amount: Math.max(0, scores[0]! - scores[2 + 2 * t]!) + Math.max(0, scores[3 + 2 * t]! - scores[1]!),
    }));
    const total = moved.reduce((sum, { amount }) => sum + amount, 0);
    if (total <= 0) return [];
    return moved
      .filter(({ amount }) => amount > 0)
      .sort((a, b) => b.amount - a.amount)
      .slice(0, MAXIMUM_CONTRIBUTIONS)
      .map(({ tag, amount }) => ({ tag, share: amount / total, value: tagValue(tag) }));
  }

  async close(): Promise<void> {
    await this.#session.release();
  }

  async #batch(features: Float32Array, inputs: number): Promise<Float32Array> {
    const shape = [features.length / inputs, inputs];
    const { score } = await this.#session.run({ features: new ort.Tensor('float32', features, shape) });
    return score!.data as Float32Array;
  }

  async #check(parameters: Float32Array): Promise<void> {
    const { architecture, scaler, modelVersion } = this.metadata;
    const random = createRandom(`check ${modelVersion}`);
    const rows = Float32Array.from({ length: CHECK_ROWS * architecture.inputs }, (_, i) => {
      const input = i % architecture.inputs;
      return scaler.mean[input]! + 2 * random.normal() * scaler.scale[input]!;
    });
    const ours = forward(architecture, parameters, scaleRows(rows, scaler, architecture.inputs));
    const theirs = await this.#batch(rows, architecture.inputs);
    for (const [i, value] of ours.entries())
      if (!(Math.abs(value - theirs[i]!) <= TOLERANCE))
        throw refused(`onnxruntime scores a random row ${theirs[i]}, the parameters in the file give ${value}`);
  }
}

/** Of a score, which in single precision cannot tell more than about 1e-7 from certainty. */
function logOdds(score: number): number {
  const inside = Math.min(1 - 1e-7, Math.max(1e-7, score));
  return Math.log(inside / (1 - inside));
}

function refused(why: string, cause?: unknown): TwinwatchError {
  return new TwinwatchError('DETECTOR_REFUSED', `The model is not taken into use: ${why}`, { cause });
}
