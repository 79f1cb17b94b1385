import type { DetectorConfig } from '@twinwatch/core/config/server';
import { prAuc, rocAuc } from '@twinwatch/core/evaluation/ranking';
import { chooseThreshold } from '@twinwatch/core/evaluation/threshold';
import type { Dataset, TrainingEngine } from '@twinwatch/core/learning/engine';
import { exportOnnx } from '@twinwatch/core/onnx/export';
import { type DetectorMetadata, encodeMetadata } from '@twinwatch/core/onnx/metadata';
import type { Lineage, ScoreHistogram } from '@twinwatch/core/wire/messages';
import { checkOnnx } from './onnx-check.js';

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
  const normalHistogram = mergeHistograms(request.histograms);
  const threshold = chooseThreshold({
    scores,
    labels: validation.labels,
    ...(normalHistogram === null ? {} : { normalHistogram }),
    maximumFalseRate: detector.maximumFalseRate,
  });
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
    rocAuc: rocAuc(scores, validation.labels),
    prAuc: prAuc(scores, validation.labels),
    onnxDifference,
  };
}

/** Histograms with the same number of bins, added up; null where nobody has scored a row. */
export function mergeHistograms(histograms: readonly ScoreHistogram[]): ScoreHistogram | null {
  const scored = histograms.filter(({ rows }) => rows > 0);
  const bins = scored[0]?.counts.length;
  if (bins === undefined) return null;
  const counts = new Array<number>(bins).fill(0);
  let rows = 0;
  for (const histogram of scored) {
    if (histogram.counts.length !== bins) continue;
    rows += histogram.rows;
    for (let i = 0; i < bins; i++) counts[i] = counts[i]! + histogram.counts[i]!;
  }
  return { counts, rows };
}
