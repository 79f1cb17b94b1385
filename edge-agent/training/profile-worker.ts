import { parentPort, workerData } from 'node:worker_threads';
import type { ProfileRequest } from '@twinwatch/core/calibration/profile';
import { siteProfile } from '@twinwatch/core/calibration/site-profile';
import type { Tag } from '@twinwatch/core/scada/tag';

/** Thread that sums up normal rows: on a small machine this takes seconds, in which polling must not stand still. */

/** What it is given: times [rows], values [rows × tags]. */
export interface ProfileWork {
  readonly timesMs: Float64Array;
  readonly values: Float64Array;
  readonly tags: readonly Tag[];
  readonly intervalMs: number;
  readonly request: ProfileRequest;
}

const { timesMs, values, tags, intervalMs, request } = workerData as ProfileWork;
const rows = Array.from(timesMs, (timeMs, i) => ({
  timeMs,
  sequence: null,
  values: values.subarray(i * tags.length, (i + 1) * tags.length),
}));
parentPort?.postMessage(siteProfile(rows, tags, intervalMs, request));
