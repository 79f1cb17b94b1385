import { roundsConfig } from '@twinwatch/core/config/server';
import { TwinwatchError } from '@twinwatch/core/errors';
import { scaleRows } from '@twinwatch/core/features/moments';
import type { TrainingEngine } from '@twinwatch/core/learning/engine';
import type { RoundView } from '@twinwatch/core/wire/http';
import type { Lineage } from '@twinwatch/core/wire/messages';
import type { Alignment } from '@twinwatch/twin-server/advice/audit';
import { type ClientExamples, examplesOf } from '@twinwatch/twin-server/aggregator/client-examples';
import { runRounds } from '@twinwatch/twin-server/aggregator/in-process';
import { twinScaler } from '@twinwatch/twin-server/aggregator/lineage';
import { withAdversaries } from '../adversary.js';
import { METRICS, type Metric } from './experiment-config.js';
import type { ExperimentData } from './experiment-data.js';
import { bestThreshold, constantMeasures, measuresOf } from './measures.js';
import { dealRows } from './partition.js';
import type { Run } from './runs.js';

/** What one run found, as a line of the results. */
export interface RunResult {
  readonly run: Omit<Run, 'setting' | 'rounds'>;
  /** [rounds] each: of the global parameters after that round, on the judged rows. */
  readonly curve: Readonly<Record<Metric, readonly number[]>>;
  /** [rounds] Area under the precision-recall curve on the twin's validation rows, by which a round would be exported. */
  readonly twinPrAuc: readonly number[];
  /** [rounds] Payloads of all clients of the round. */
  readonly bytesUp: readonly number[];
  readonly bytesDown: readonly number[];
  /** [rounds] Payload of MQTT for what one client sends up in a round, the mean of those asked. Absent in results of earlier releases. */
  readonly payloadUp?: readonly number[];
  /** [rounds] Of the whole round on this machine, all its clients one after the other. */
  readonly milliseconds: readonly number[];
  readonly constant: { readonly accuracy: number; readonly prAuc: number };
  readonly alignment: Alignment;
  readonly judgedRows: number;
  readonly clientRows: readonly number[];
  /** Highest resident memory of the process; null where other runs shared it. */
  readonly peakMemoryBytes: number | null;
}

interface RunWith {
  readonly engine: TrainingEngine;
  /** Milliseconds of a clock that never goes back. */
  readonly monotonic: () => number;
  readonly onRound?: (round: number) => void;
  readonly signal?: AbortSignal;
}

/** The same run and data give the same result but for milliseconds and memory. @throws TwinwatchError */
export async function runOnce(run: Run, data: ExperimentData, using: RunWith): Promise<RunResult> {
  const rounds = roundsConfig.parse(run.rounds);
  const honest = clientsOf(run, data);
  const { attack, share, strength } = run.adversary;
  const hostile = attack === 'none' ? null : withAdversaries(honest, { attack, share, strength, seed: run.seed });
  const clients = hostile?.clients ?? honest;
  if (clients.length === 0)
    throw new TwinwatchError(
      'EXPERIMENT_NO_ROWS',
      `no client of run ${run.id} has a row to learn from; raise sites or siteDays`,
    );
  const curve = Object.fromEntries(METRICS.map((metric) => [metric, [] as number[]])) as Record<Metric, number[]>;
  const [twinPrAuc, bytesUp, bytesDown, payloadUp, milliseconds]: number[][] = [[], [], [], [], []];
  let scaled: { judged: Float32Array; validation: Float32Array } | null = null;
  let startedAt = using.monotonic();
  const { twinScaling } = run.setting.detector;
  const ofTwin = (sites: Lineage['scaler']) => twinScaler(data.twin.moments, sites, data.schema, twinScaling);
  const pending: Promise<void>[] = [];
  const judge = async (global: Float32Array, { architecture, scaler }: Lineage): Promise<void> => {
    scaled ??= {
      judged: scaleRows(data.judged.features, scaler, data.inputs),
      validation: scaleRows(data.twin.validation.features, ofTwin(scaler), data.inputs),
    };
    const onTwin = await using.engine.score(architecture, global, scaled.validation);
    const threshold = bestThreshold(onTwin, data.twin.validation.labels);
    const scores = await using.engine.score(architecture, global, scaled.judged);
    const measures = measuresOf(scores, data.judged.labels, threshold);
    for (const metric of METRICS) curve[metric].push(rounded(measures[metric]));
  };
  await runRounds({
    ...{ schema: data.schema, twin: data.twin, clients, detector: run.setting.detector, rounds, seed: run.seed },
    ...{ engine: using.engine, now: () => 0, log: SILENT },
    ...(using.signal === undefined ? {} : { signal: using.signal }),
    ...(hostile === null ? {} : { tamper: hostile.tamper }),
    onRound(view, global, lineage) {
      const now = using.monotonic();
      milliseconds!.push(Math.round((now - startedAt) * 1000) / 1000);
      bytesUp!.push(view.bytesUp);
      bytesDown!.push(view.bytesDown);
      payloadUp!.push(meanUp(view.traffic ?? {}));
      twinPrAuc!.push(rounded(view.validation?.prAuc ?? 0));
      pending.push(judge(global, lineage));
      using.onRound?.(view.round);
      startedAt = using.monotonic();
    },
  });
  await Promise.all(pending);
  const { setting: _setting, rounds: _rounds, ...about } = run;
  return {
    run: about,
    curve,
    twinPrAuc: twinPrAuc!,
    bytesUp: bytesUp!,
    bytesDown: bytesDown!,
    payloadUp: payloadUp!,
    milliseconds: milliseconds!,
    constant: constantMeasures(data.judged.labels),
    alignment: data.alignment,
    judgedRows: data.judged.labels.length,
    clientRows: clients.map(({ labels }) => labels.length),
    peakMemoryBytes: null,
  };
}

function clientsOf(run: Run, data: ExperimentData): ClientExamples[] {
  const { pool, inputs } = data;
  return dealRows(pool, run.clients, run.partition, run.seed).flatMap((rows, k) => {
    // Without a normal row a client has nothing to calibrate with, and an agent would not take part either.
    if (!rows.some((row) => pool.labels[row] === 0)) return [];
    const id = `client-${String(k + 1).padStart(3, '0')}`;
    const features = new Float32Array(rows.length * inputs);
    for (const [at, row] of rows.entries())
      features.set(pool.features.subarray(row * inputs, (row + 1) * inputs), at * inputs);
    const labels = Float32Array.from(rows, (row) => pool.labels[row]!);
    const training = rows.map((_, at) => at);
    // Without labels a client takes its rows to be normal, as an agent does; nobody told it so.
    const assumed = new Uint8Array(rows.length).fill(run.setting.scenario === 'label-free' ? 1 : 0);
    return [examplesOf({ id, inputs, features, labels, assumed, weights: null, training, holdout: [] })];
  });
}

function meanUp(traffic: NonNullable<RoundView['traffic']>): number {
  const sent = Object.values(traffic).flatMap(({ up }) => (up > 0 ? [up] : []));
  return Math.round(sent.reduce((sum, up) => sum + up, 0) / Math.max(1, sent.length));
}

const rounded = (value: number): number => Math.round(value * 1e5) / 1e5;

const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
