import { encodeJson } from '@twinwatch/core/wire/json-messages';
import { ReportByException } from '@twinwatch/core/wire/report-by-exception';
import { signJson } from '@twinwatch/core/wire/signing';
import type { Telemetry } from '@twinwatch/core/wire/telemetry';
import type { DetectionPipeline } from '../detection/detection-pipeline.js';
import type { FederationContext } from './federation-context.js';

export interface TelemetryOptions {
  readonly pipeline: Pick<DetectionPipeline, 'latest'>;
  /** Wall-clock ms between two messages, null where the site has not opted in. */
  readonly telemetryEveryMs: number | null;
  /** Tag → smallest change that is told; may change with the site. */
  readonly deadbands: () => ReadonlyMap<string, number>;
  /** Of tags that hold letters. */
  readonly texts: () => Telemetry['values'];
}

/** Values as they come, until the signal aborts. Decimated by wall clock: however fast rows come, the page gets the newest one. */
export async function tellTelemetry(
  { link, timers, topics: { telemetry }, trust }: FederationContext,
  options: TelemetryOptions,
  signal: AbortSignal,
): Promise<void> {
  const { telemetryEveryMs, pipeline, texts } = options;
  if (telemetryEveryMs === null) return;
  let sentMs: number | null = null;
  let deadbands = options.deadbands();
  let report = new ReportByException(deadbands);
  while (!signal.aborted) {
    await timers.sleep('telemetry', telemetryEveryMs, signal).catch(() => undefined);
    const { latest } = pipeline;
    if (!link.online) report.forget();
    if (signal.aborted || latest === null || latest.atMs === sentMs || !link.online) continue;
    sentMs = latest.atMs;
    if (deadbands !== options.deadbands()) {
      deadbands = options.deadbands();
      report = new ReportByException(deadbands);
    }
    const told = report.next({ ...latest, values: { ...latest.values, ...texts() } });
    await link.publish(telemetry, signJson(telemetry, encodeJson(told), trust.signer)).catch(() => report.forget());
  }
}
