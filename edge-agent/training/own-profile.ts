import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { ProfileRequest, SiteProfile } from '@twinwatch/core/calibration/profile';
import type { FeatureSchema } from '@twinwatch/core/features/spec';
import type { Store } from '../store/store.js';
import type { TrainingLimits } from './local-training.js';
import type { ProfileWork } from './profile-worker.js';
import { trainingSet } from './training-set.js';

/**
 * How the site runs over day and week, from the rows that may be learned from and are normal; what leaves the device is this summary.
 * @throws TwinwatchError CALIBRATION_MISMATCH, STORE_*; the signal's reason.
 */
export async function ownProfile(
  store: Store,
  { tags, intervalMs }: FeatureSchema,
  limits: TrainingLimits,
  request: ProfileRequest,
  signal: AbortSignal,
): Promise<SiteProfile> {
  const [alarms, labels, rows] = await Promise.all([
    store.call('alarms'),
    store.call('labels'),
    store.call(
      'rows',
      tags.map(({ name }) => name),
      limits.maximumRows,
    ),
  ]);
  const set = trainingSet(rows, { quarantineMs: limits.quarantineMs, alarms, labels });
  const normal = [...set.training.filter((row) => set.verdicts[row] === 0), ...set.holdout].sort((a, b) => a - b);
  const values = new Float64Array(normal.length * tags.length);
  for (const [i, row] of normal.entries())
    values.set(rows.values.subarray(row * tags.length, (row + 1) * tags.length), i * tags.length);
  const timesMs = Float64Array.from(normal, (row) => rows.timesMs[row]!);
  const work: ProfileWork = { timesMs, values, tags, intervalMs, request };
  const worker = new Worker(new URL('./profile-worker.js', import.meta.url), { workerData: work });
  try {
    const [profile] = (await once(worker, 'message', { signal })) as [SiteProfile];
    return profile;
  } finally {
    await worker.terminate();
  }
}
