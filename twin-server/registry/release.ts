import type { DetectorConfig } from '@twinwatch/core/config/server';
import { rankingAreas } from '@twinwatch/core/evaluation/ranking';
import { chooseThreshold } from '@twinwatch/core/evaluation/threshold';
import type { Dataset, TrainingEngine } from '@twinwatch/core/learning/engine';
import { exportOnnx } from '@twinwatch/core/onnx/export';
import { type DetectorMetadata, encodeMetadata } from '@twinwatch/core/onnx/metadata';
import type { Lineage, ScoreHistogram } from '@twinwatch/core/wire/messages';
import { checkOnnx } from './onnx-check.js';

/** A detector that alarms more often than this is of no use. */
const LARGEST_FALSE_RATE = 0.1;

export interface ReleaseRequest {
  readonly engine: TrainingEngine;
  readonly federation: string;
  readonly modelVersion: string;
  readonly lineage: Lineage;
  readonly lineageHash: string;
  readonly parameters: Float32Array;
  readonly round: number;
  /** Of the twin, scaled; no row of it was trained on. */
  readonly validation: Dataset;
  /** Scores of these parameters on the agents' held-back normal rows. */
  readonly histograms: readonly ScoreHistogram[];
  readonly detector: Pick<DetectorConfig, 'alarm' | 'maximumFalseRate'>;
  readonly provenance: DetectorMetadata['provenance'];
}

export interface ReleasedDetector {
  readonly onnx: Uint8Array;
  readonly threshold: number;
  /** Of normal rows; above the configured one where that cannot be kept. */
  readonly allowedFalseRate: number;
  readonly rocAuc: number;
  readonly prAuc: number;
  /** Largest difference to our own forward pass over the rows of the check. */
  readonly onnxDifference: number;
}

/**
 * Parameters → the ONNX file that agents run, with its threshold.
 *
 * @throws TwinwatchError RELEASE_ONNX_DIFFERS where onnxruntime-node computes something else than we do.
 */
export async function releaseDetector(request: ReleaseRequest): Promise<ReleasedDetector> {
  const { engine, lineage, parameters, validation, detector } = request;
  const { architecture, scaler, schema } = lineage;
  const scores = await engine.score(architecture, parameters, validation.features);
  const { threshold, allowedFalseRate } = affordableThreshold(
    { scores, labels: validation.labels },
    mergeHistograms(request.histograms),
    detector.maximumFalseRate,
  );
  const metadata: DetectorMetadata = {
    federation: request.federation,
    modelVersion: request.modelVersion,
    lineageHash: request.lineageHash,
    round: request.round,
    schema,
    scaler,
    architecture,
    threshold,
    alarm: detector.alarm,
    provenance: request.provenance,
    baseline: scaler.mean,
  };
  const onnx = exportOnnx({ architecture, parameters, scaler, metadata: encodeMetadata(metadata) });
  const onnxDifference = await checkOnnx(onnx, { engine, architecture, parameters, scaler });
  return {
    onnx,
    threshold,
    allowedFalseRate,
    ...rankingAreas(scores, validation.labels),
    onnxDifference,
  };
}

/**
 * The configured false rate where a threshold keeps it; else twice, four times… as much, since a detector that never
 * alarms helps nobody. The twin's rows alone decide where the agents' rows allow nothing.
 */
export function affordableThreshold(
  labelled: { readonly scores: Float32Array; readonly labels: Float32Array },
  normalHistogram: ScoreHistogram,
  maximumFalseRate: number,
): Pick<ReleasedDetector, 'threshold' | 'allowedFalseRate'> {
  for (let rate = maximumFalseRate; rate <= LARGEST_FALSE_RATE; rate *= 2) {
    const choice = chooseThreshold({ ...labelled, normalHistogram, maximumFalseRate: rate });
    if (choice.isWithinMaximum && choice.threshold < 1) return { threshold: choice.threshold, allowedFalseRate: rate };
  }
  const { threshold } = chooseThreshold({ ...labelled, maximumFalseRate: LARGEST_FALSE_RATE });
  return { threshold, allowedFalseRate: LARGEST_FALSE_RATE };
}

/** All counts together; the update check has seen to it that they have the same bins. */
function mergeHistograms(histograms: readonly ScoreHistogram[]): ScoreHistogram {
  const counts = new Array<number>(histograms[0]?.counts.length ?? 0).fill(0);
  for (const histogram of histograms)
    for (let bin = 0; bin < counts.length; bin++) counts[bin]! += histogram.counts[bin]!;
  return { counts, rows: histograms.reduce((sum, { rows }) => sum + rows, 0) };
}
