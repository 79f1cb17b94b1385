import { TwinwatchError } from '@twinwatch/core/errors';
import type { BlobRef, Manifest } from '@twinwatch/core/wire/messages';
import type { DetectionPipeline } from '../detection/detection-pipeline.js';
import { Detector } from '../detection/detector.js';
import type { BlobFetcher } from './blob-fetcher.js';
import type { FederationContext } from './federation-context.js';

const MANIFEST = 'manifest';
/** After a failure that is not the model's: a blob that did not come whole, a disk that does not take it. */
const AGAIN_MS = 10_000;

export interface ModelKeeperOptions {
  readonly context: FederationContext;
  readonly blobs: BlobFetcher;
  readonly pipeline: DetectionPipeline;
  readonly siteTags: () => readonly string[];
  /** Another detector runs now. */
  readonly onModel: () => void;
}

/** From a manifest to a running detector: fetched, checked, swapped in. What is refused leaves the last good one running. */
export class ModelKeeper {
  readonly #options: ModelKeeperOptions;
  #current: Manifest | null = null;
  #fetching: { readonly model: BlobRef; readonly abort: AbortController } | null = null;
  #refused: string | null = null;

  constructor(options: ModelKeeperOptions) {
    this.#options = options;
  }

  get current(): Manifest | null {
    return this.#current;
  }

  /** The detector that ran when the process ended, from the store alone. */
  async restore(): Promise<void> {
    const { context, siteTags, pipeline } = this.#options;
    const kept = await context.store.call('state', MANIFEST);
    if (kept === null) return;
    const manifest = JSON.parse(Buffer.from(kept).toString('utf8')) as Manifest;
    const bytes = await context.store.call('blob', manifest.model.hash);
    if (bytes === null) return;
    try {
      await pipeline.use(await Detector.load(bytes, siteTags()));
      this.#current = manifest;
      context.log.info({ modelVersion: manifest.modelVersion }, 'detector restored');
    } catch (error) {
      context.log.error({ error: String(error) }, 'the stored detector cannot be used; waiting for the server');
    }
  }

  /** Returns at once. A newer manifest ends the fetching of an older one. */
  announce(manifest: Manifest, signal: AbortSignal): void {
    const { model, modelVersion, releasedAtMs } = manifest;
    const current = this.#current;
    if (model.hash === current?.model.hash || model.hash === this.#refused) return;
    const fetched = this.#fetching?.model;
    if (model.hash === fetched?.hash && model.bytes === fetched.bytes) return;
    // One that was kept back somewhere, or sent again by whoever recorded it.
    if (current !== null && releasedAtMs < current.releasedAtMs) {
      const running = current.modelVersion;
      this.#options.context.log.warn({ modelVersion, running }, 'a detector older than the one that runs; ignored');
      return;
    }
    this.#fetching?.abort.abort();
    const abort = new AbortController();
    this.#fetching = { model, abort };
    void this.#take(manifest, AbortSignal.any([signal, abort.signal])).finally(() => {
      if (this.#fetching?.abort === abort) this.#fetching = null;
    });
  }

  /** Until it runs, is refused, or nobody wants it any more. */
  async #take(manifest: Manifest, signal: AbortSignal): Promise<void> {
    const { context } = this.#options;
    const { modelVersion } = manifest;
    while (!signal.aborted) {
      try {
        await this.#tryTake(manifest, signal);
        return;
      } catch (error) {
        if (signal.aborted) return;
        const told = { modelVersion, running: this.#current?.modelVersion ?? null, error: String(error) };
        if (error instanceof TwinwatchError && error.code === 'DETECTOR_REFUSED') {
          this.#refused = manifest.model.hash;
          context.log.error(told, 'detector refused');
          return;
        }
        context.log.warn(told, 'detector not in use yet; it is tried again');
        await context.timers.sleep('model-retry', AGAIN_MS, signal).catch(() => undefined);
      }
    }
  }

  async #tryTake(manifest: Manifest, signal: AbortSignal): Promise<void> {
    const { context, blobs, siteTags, pipeline, onModel } = this.#options;
    const bytes = await blobs.get(manifest.model, true, signal);
    const detector = await Detector.load(bytes, siteTags());
    const differing = difference(manifest, detector, context.federation);
    if (differing !== null || signal.aborted) await detector.close();
    if (signal.aborted) return;
    if (differing !== null)
      throw new TwinwatchError('DETECTOR_REFUSED', `The model is not taken into use: ${differing}`);
    await pipeline.use(detector);
    this.#current = manifest;
    context.store.write({ op: 'state', key: MANIFEST, value: JSON.stringify(manifest) });
    context.log.info({ modelVersion: manifest.modelVersion, round: manifest.round }, 'detector in use');
    onModel();
  }
}

/** What the announcement and the file say differently, null where they agree. */
function difference(manifest: Manifest, { metadata }: Detector, federation: string): string | null {
  const pairs = {
    federation: [federation, metadata.federation],
    version: [manifest.modelVersion, metadata.modelVersion],
    threshold: [manifest.threshold, metadata.threshold],
    lineage: [manifest.lineage.hash, metadata.lineageHash],
  };
  const found = Object.entries(pairs).find(([, [announced, inside]]) => announced !== inside);
  return found === undefined ? null : `its manifest says ${found[0]} ${found[1][0]}, the file ${found[1][1]}`;
}
