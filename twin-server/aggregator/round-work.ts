import type { DetectorConfig, RoundsConfig } from '@twinwatch/core/config/server';
import { TwinwatchError } from '@twinwatch/core/errors';
import { rankingAreas } from '@twinwatch/core/evaluation/ranking';
import { schemaHash } from '@twinwatch/core/features/schema';
import type { FeatureSchema } from '@twinwatch/core/features/spec';
import type { Architecture, Dataset, TrainingEngine } from '@twinwatch/core/learning/engine';
import { initialParameters, layers, parameterCount } from '@twinwatch/core/learning/network';
import { createRandom } from '@twinwatch/core/learning/random';
import { decodeLineage, decodeParameters, encodeLineage, encodeParameters } from '@twinwatch/core/wire/blobs';
import { encodeExchangeRows } from '@twinwatch/core/wire/exchange-rows';
import type { Calibration, Lineage, ScoreHistogram, TeacherTask } from '@twinwatch/core/wire/messages';
import { decodeDelta, encodeDelta } from '@twinwatch/core/wire/parameter-codec';
import { type ReleasedDetector, releaseDetector } from '../registry/release.js';
import { aggregateRound } from './aggregation.js';
import type { Momenta } from './combine/server-optimizer.js';
import type { StoredUpdate } from './journal.js';
import { architectureOf, lineageOf, mergedScaler, twinScaler } from './lineage.js';
import type { Aggregated, Candidate, OptimizerState, TeacherState, Validation } from './rounds/round-state.js';
import { strategyNamed } from './strategies/by-name.js';
import type { RoundPlan, ServerQuestion } from './strategies/strategy.js';
import { balancedDataset, classBalancedSample, type TwinFeatures } from './twin-rows.js';

/** The heavy steps of a round, each a function of what it is given: nothing here knows the journal, the wire or time. */

export interface FederationPlan {
  readonly federation: string;
  readonly schema: FeatureSchema;
  readonly detector: DetectorConfig;
  readonly rounds: RoundsConfig;
  readonly seed: number;
}

export interface Blobs {
  /** @throws TwinwatchError JOURNAL_BLOB_MISSING */
  get(hash: string): Uint8Array;
  put(bytes: Uint8Array): string;
}

interface Rows {
  readonly training: Dataset;
  readonly validation: Dataset;
}

export class RoundWork {
  readonly architecture: Architecture;
  readonly parameterCount: number;
  /** Of one network, the output layer included. */
  readonly layerCount: number;
  readonly schemaHash: string;
  readonly #plan: FederationPlan;
  readonly #engine: TrainingEngine;
  readonly #twin: TwinFeatures;
  #scaled: { readonly lineageHash: string; readonly lineage: Lineage; readonly rows: Rows } | null = null;

  constructor(plan: FederationPlan, engine: TrainingEngine, twin: TwinFeatures) {
    this.#plan = plan;
    this.#engine = engine;
    this.#twin = twin;
    this.architecture = architectureOf(plan.detector, plan.schema);
    this.parameterCount = parameterCount(this.architecture);
    this.layerCount = this.architecture.hidden.length + 1;
    this.schemaHash = schemaHash(plan.schema);
  }

  /** Merges the clients' moments, chooses the shared twin rows, and draws Θ^0; Θ_tw starts from the same. */
  freezeLineage(
    calibrations: readonly Calibration['moments'][],
    blobs: Blobs,
  ): { lineageHash: string; globalHash: string; twinHash: string } {
    const { schema, detector, rounds, seed } = this.#plan;
    const scaler = mergedScaler(calibrations, this.#twin.moments, schema, detector.clip);
    const withoutExchange = lineageOf(schema, scaler, this.architecture, null);
    let lineage = withoutExchange;
    if (rounds.exchangeRows > 0 && rounds.exchangeShare > 0) {
      const { inputs } = this.architecture;
      const training = balancedDataset(this.#twin.training, this.#twinScaler(scaler));
      const sample = classBalancedSample(training, inputs, rounds.exchangeRows, seed);
      const bytes = encodeExchangeRows(sample, inputs, scaler.clip);
      lineage = lineageOf(schema, scaler, this.architecture, { hash: blobs.put(bytes), bytes: bytes.length });
    }
    const globalHash = blobs.put(encodeParameters(initialParameters(this.architecture, seed)));
    return { lineageHash: blobs.put(encodeLineage(lineage)), globalHash, twinHash: globalHash };
  }

  async fitTwin(
    request: { lineageHash: string; fromHash: string; epochs: number; round: number },
    blobs: Blobs,
    signal: AbortSignal,
  ): Promise<{ twinHash: string }> {
    const { rounds, seed } = this.#plan;
    const { rows } = this.#rows(request.lineageHash, blobs);
    const fitted = await this.#engine.fit(
      {
        architecture: this.architecture,
        parameters: this.#parameters(request.fromHash, blobs),
        data: rows.training,
        epochs: request.epochs,
        batchSize: rounds.batchSize,
        learningRate: rounds.learningRate,
        seed: createRandom(`${seed}:twin-fit:${request.round}`).integer(2 ** 31),
      },
      signal,
    );
    return { twinHash: blobs.put(encodeParameters(fitted.parameters)) };
  }

  /** The twin model as agents get it to learn from. */
  encodeTeacher(twinHash: string, blobs: Blobs): TeacherState {
    const { teacherCodec: codec } = this.#plan.rounds.dtkd;
    const { bytes } = encodeDelta(this.#parameters(twinHash, blobs), layers(this.architecture), codec, null);
    return { hash: blobs.put(bytes), bytes: bytes.length, codec };
  }

  teacherTask({ hash, bytes, codec }: TeacherState): TeacherTask {
    const { alpha, temperature, softLabels, unlabelled } = this.#plan.rounds.dtkd;
    return { teacher: { hash, bytes }, codec, alpha, temperature, softLabels, unlabelled };
  }

  /** @throws TwinwatchError ROUND_NOT_AGGREGATED where the strategy says that these updates have no aggregate. */
  async aggregate(
    request: {
      lineageHash: string;
      globalHash: string;
      twinHash: string;
      optimizer: OptimizerState | null;
      baseHash: string;
      round: number;
      updates: readonly StoredUpdate[];
    },
    blobs: Blobs,
  ): Promise<Aggregated> {
    const base = this.#parameters(request.baseHash, blobs);
    const clients = request.updates.map(({ agent, update }) => ({
      agent,
      parameters: this.decode(update).map((change, i) => base[i]! + change),
      rows: update.rows,
    }));
    const round = {
      t: request.round - 1,
      config: this.#plan.rounds,
      layers: layers(this.architecture),
      global: this.#parameters(request.globalHash, blobs),
      twin: this.#parameters(request.twinHash, blobs),
      clients,
    };
    const strategy = strategyNamed(this.#plan.rounds.method);
    const answer = async ({ wanted, at }: ServerQuestion) => {
      if (wanted === 'validation-loss') return (await this.#validateAt(request.lineageHash, at, blobs)).loss;
      const { training } = this.#rows(request.lineageHash, blobs).rows;
      const { architecture } = this;
      return (await this.#engine.gradient({ architecture, parameters: at, data: training })).gradient;
    };
    const momenta = this.#momenta(request.optimizer, blobs);
    const outcome = await aggregateRound(strategy, round, answer, { base, momenta });
    if ('failure' in outcome) {
      throw new TwinwatchError(
        'ROUND_NOT_AGGREGATED',
        `Round ${request.round} cannot be aggregated (${outcome.failure}): ${outcome.detail}. It is collected anew`,
        { context: { round: request.round, failure: outcome.failure }, retryable: true },
      );
    }
    const globalHash = blobs.put(encodeParameters(outcome.global));
    const twinHash = outcome.twin === outcome.global ? globalHash : blobs.put(encodeParameters(outcome.twin));
    const { leftOut, remarks } = outcome;
    const { type } = this.#plan.rounds.serverOptimizer;
    const after = outcome.momenta;
    const optimizer =
      after === null ? null : { type, hash: blobs.put(encodeParameters(joined(after.first, after.second))) };
    return { globalHash, twinHash, optimizer, leftOut, remarks };
  }

  /** What the method does in a round, from 1. */
  planOf(round: number): RoundPlan {
    const { rounds } = this.#plan;
    return strategyNamed(rounds.method).plan({ t: round - 1, config: rounds, layerCount: this.layerCount });
  }

  /** [parameters]; zero in the layers that were not sent, which so keep what was sent down. @throws TwinwatchError WIRE_DELTA_*. */
  decode(update: Pick<StoredUpdate['update'], 'delta' | 'codec' | 'layerMask'>): Float32Array {
    return decodeDelta(update.delta, layers(this.architecture), update.codec, update.layerMask);
  }

  validate(lineageHash: string, parametersHash: string, blobs: Blobs): Promise<Validation> {
    return this.#validateAt(lineageHash, this.#parameters(parametersHash, blobs), blobs);
  }

  async #validateAt(lineageHash: string, parameters: Float32Array, blobs: Blobs): Promise<Validation> {
    const { validation } = this.#rows(lineageHash, blobs).rows;
    const scores = await this.#engine.score(this.architecture, parameters, validation.features);
    return {
      loss: weightedCrossEntropy(scores, validation),
      ...rankingAreas(scores, validation.labels),
      attackShare: validation.labels.filter((label) => label === 1).length / validation.labels.length,
    };
  }

  release(
    request: {
      lineageHash: string;
      candidate: Candidate;
      modelVersion: string;
      histograms: readonly ScoreHistogram[];
      clients: readonly string[];
      releasedAtMs: number;
    },
    blobs: Blobs,
  ): Promise<ReleasedDetector> {
    const { federation, detector, rounds, seed } = this.#plan;
    const { lineage, rows } = this.#rows(request.lineageHash, blobs);
    const { round, parametersHash, validation } = request.candidate;
    return releaseDetector({
      engine: this.#engine,
      federation,
      modelVersion: request.modelVersion,
      lineage,
      lineageHash: request.lineageHash,
      parameters: this.#parameters(parametersHash, blobs),
      round,
      validation: rows.validation,
      histograms: request.histograms,
      detector,
      provenance: {
        method: rounds.method,
        round,
        seed,
        parametersHash,
        clients: request.clients,
        validation,
        releasedAtMs: request.releasedAtMs,
      },
    });
  }

  /** Those of another kind of optimiser are left behind: it begins anew. */
  #momenta(state: OptimizerState | null, blobs: Blobs): Momenta | null {
    if (state === null || state.type !== this.#plan.rounds.serverOptimizer.type) return null;
    const count = this.parameterCount;
    const both = decodeParameters(blobs.get(state.hash), state.type === 'fedavgm' ? count : 2 * count);
    return { first: both.subarray(0, count), second: both.subarray(count) };
  }

  #parameters(hash: string, blobs: Blobs): Float32Array {
    return decodeParameters(blobs.get(hash), this.parameterCount);
  }

  #twinScaler(sites: Lineage['scaler']): Lineage['scaler'] {
    const { detector, schema } = this.#plan;
    return twinScaler(this.#twin.moments, sites, schema, detector.twinScaling);
  }

  /** Scaling the twin's rows takes a moment and much memory: done once per lineage. */
  #rows(lineageHash: string, blobs: Blobs): { readonly lineage: Lineage; readonly rows: Rows } {
    if (this.#scaled?.lineageHash === lineageHash) return this.#scaled;
    const lineage = decodeLineage(blobs.get(lineageHash));
    const scaler = this.#twinScaler(lineage.scaler);
    const rows = {
      training: balancedDataset(this.#twin.training, scaler),
      validation: balancedDataset(this.#twin.validation, scaler),
    };
    this.#scaled = { lineageHash, lineage, rows };
    return this.#scaled;
  }
}

/** Mean over the rows, weighted as in training, so that it compares with the loss there. */
function weightedCrossEntropy(scores: Float32Array, { labels, weights }: Dataset): number {
  const smallest = 1e-7;
  let sum = 0;
  let total = 0;
  for (let i = 0; i < labels.length; i++) {
    const score = Math.min(1 - smallest, Math.max(smallest, scores[i]!));
    const weight = weights?.[i] ?? 1;
    sum -= weight * (labels[i]! * Math.log(score) + (1 - labels[i]!) * Math.log(1 - score));
    total += weight;
  }
  return sum / total;
}

function joined(a: Float32Array, b: Float32Array): Float32Array {
  const both = new Float32Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
