import type { Manifest } from '@twinwatch/core/wire/messages';
import type { DetectionPipeline } from '../detection/detection-pipeline.js';
import { Detector } from '../detection/detector.js';
import type { BlobFetcher } from './blob-fetcher.js';
import type { FederationContext } from './federation-context.js';

const MANIFEST = 'manifest';

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
  #fetching: { readonly hash: string; readonly abort: AbortController } | null = null;
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
    const { hash } = manifest.model;
    if (hash === this.#current?.model.hash || hash === this.#fetching?.hash || hash === this.#refused) return;
    this.#fetching?.abort.abort();
    const abort = new AbortController();
    this.#fetching = { hash, abort };
    void this.#take(manifest, AbortSignal.any([signal, abort.signal])).finally(() => {
      if (this.#fetching?.abort === abort) this.#fetching = null;
    });
  }

  async #take(manifest: Manifest, signal: AbortSignal): Promise<void> {
    const { context, blobs, siteTags, pipeline, onModel } = this.#options;
    try {
      const bytes = await blobs.get(manifest.model, true, signal);
      const detector = await Detector.load(bytes, siteTags());
      if (signal.aborted) return await detector.close();
      await pipeline.use(detector);
      this.#current = manifest;
      context.store.write({ op: 'state', key: MANIFEST, value: JSON.stringify(manifest) });
      context.log.info({ modelVersion: manifest.modelVersion, round: manifest.round }, 'detector in use');
      onModel();
    } catch (error) {
      if (signal.aborted) return;
      this.#refused = manifest.model.hash;
      const running = this.#current?.modelVersion ?? null;
      context.log.error({ modelVersion: manifest.modelVersion, running, error: String(error) }, 'detector refused');
    }
  }
}
