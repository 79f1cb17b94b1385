import { TwinwatchError } from '@twinwatch/core/errors';
import type { BlobRef, CandidateModel, Manifest, ModelReport } from '@twinwatch/core/wire/messages';
import type { DetectionPipeline } from '../detection/detection-pipeline.js';
import { Detector } from '../detection/detector.js';
import type { BlobFetcher } from './blob-fetcher.js';
import { type FederationContext, publishUntilTaken } from './federation-context.js';
import { ShadowRun } from './shadow-run.js';

const MANIFEST = 'manifest';
/** The one that ran before, for the day that the newer one cannot be used any more. */
const MANIFEST_BEFORE = 'manifest-before';
/** Of the newest manifest that was taken. */
const ISSUED = 'manifest-issued';
/** After a failure that is not the model's: a blob that did not come whole, a disk that does not take it. */
const AGAIN_MS = 10_000;
/** A broker hands an agent that was away every manifest that it missed, one after the other: only the last one's model is worth fetching. */
const NEWER_FOLLOWS_MS = 1_000;

/** What is run, of a manifest. */
type RunManifest = Omit<Manifest, 'kind' | 'issuedAtMs' | 'rollback' | 'candidate'>;

export interface ModelKeeperOptions {
  readonly context: FederationContext;
  readonly blobs: BlobFetcher;
  readonly pipeline: DetectionPipeline;
  readonly siteTags: () => readonly string[];
  /** Another detector runs now. */
  readonly onModel: () => void;
}

/**
 * From a manifest to a running detector: fetched, checked, swapped in. What is refused leaves the last good one running, and is told. A candidate runs
 * beside it, or in its place where the manifest names this agent for that.
 */
export class ModelKeeper {
  readonly #options: ModelKeeperOptions;
  #current: RunManifest | null = null;
  /** Of the newest manifest that was taken: nothing older is, over restarts as well. */
  #issuedAtMs = 0;
  #fetching: { readonly model: BlobRef; readonly abort: AbortController } | null = null;
  #trial: { readonly key: string; readonly abort: AbortController; readonly done: Promise<void> } | null = null;
  #refused: string | null = null;

  constructor(options: ModelKeeperOptions) {
    this.#options = options;
  }

  get current(): RunManifest | null {
    return this.#current;
  }

  /** The detector that ran when the process ended, or the one before where that cannot be used, from the store alone. */
  async restore(): Promise<void> {
    const { context } = this.#options;
    const issued = await context.store.call('state', ISSUED);
    this.#issuedAtMs = Number(issued === null ? 0 : Buffer.from(issued).toString('utf8')) || 0;
    for (const key of [MANIFEST, MANIFEST_BEFORE]) if (await this.#restored(key)) return;
  }

  async #restored(key: string): Promise<boolean> {
    const { context, siteTags, pipeline } = this.#options;
    const kept = await context.store.call('state', key);
    if (kept === null) return false;
    const manifest = JSON.parse(Buffer.from(kept).toString('utf8')) as RunManifest;
    const bytes = await context.store.call('blob', manifest.model.hash);
    if (bytes === null) return false;
    try {
      await pipeline.use(await Detector.load(bytes, siteTags()));
      this.#current = manifest;
      context.log.info({ modelVersion: manifest.modelVersion }, 'detector restored');
      return true;
    } catch (error) {
      context.log.error({ error: String(error) }, 'the stored detector cannot be used; waiting for the server');
      return false;
    }
  }

  /**
   * Returns at once. A newer manifest ends the fetching of an older one.
   * @throws TwinwatchError MODEL_DOWNGRADE for one that is older than what was taken, or goes back without saying so.
   */
  announce(manifest: Manifest, signal: AbortSignal): void {
    const { context } = this.#options;
    const { candidate, issuedAtMs } = manifest;
    const isMine = candidate?.agents.includes(context.agent) === true;
    const target: RunManifest = candidate?.stage === 'canary' && isMine ? candidate : manifest;
    this.#requireNewer(manifest, target);
    if (issuedAtMs !== undefined && issuedAtMs > this.#issuedAtMs) {
      this.#issuedAtMs = issuedAtMs;
      context.store.write({ op: 'state', key: ISSUED, value: String(issuedAtMs) });
    }
    this.#try(candidate !== undefined && isMine ? candidate : null, manifest, signal);
    const { model } = target;
    if (model.hash === this.#refused) return;
    const fetched = this.#fetching?.model;
    if (model.hash === fetched?.hash && model.bytes === fetched.bytes) return;
    this.#fetching?.abort.abort();
    this.#fetching = null;
    if (model.hash === this.#current?.model.hash) return;
    const abort = new AbortController();
    this.#fetching = { model, abort };
    void this.#take(target, AbortSignal.any([signal, abort.signal])).finally(() => {
      if (this.#fetching?.abort === abort) this.#fetching = null;
    });
  }

  /** What nobody waits for any more has ended. */
  async idle(): Promise<void> {
    this.#trial?.abort.abort();
    await this.#trial?.done;
  }

  #requireNewer({ issuedAtMs, rollback }: Manifest, { modelVersion, releasedAtMs }: RunManifest): void {
    const current = this.#current;
    const running = current?.modelVersion ?? null;
    if (issuedAtMs !== undefined && issuedAtMs < this.#issuedAtMs)
      throw new TwinwatchError(
        'MODEL_DOWNGRADE',
        `a manifest for ${modelVersion} is older than one that was taken before; ${running} goes on`,
        { context: { modelVersion, running } },
      );
    // One that was kept back somewhere, or sent again by whoever recorded it.
    if (current !== null && releasedAtMs < current.releasedAtMs && rollback === undefined)
      throw new TwinwatchError(
        'MODEL_DOWNGRADE',
        `a manifest names ${modelVersion}, which is older than ${running}, and says nothing of going back; ignored`,
        { context: { modelVersion, running } },
      );
  }

  /** Runs the candidate and the current model beside each other, and tells the numbers. The same again goes on. */
  #try(candidate: CandidateModel | null, base: RunManifest, signal: AbortSignal): void {
    const key = candidate === null ? '' : `${candidate.stage} ${candidate.model.hash} ${base.model.hash}`;
    if ((this.#trial?.key ?? '') === key) return;
    const before = this.#trial;
    before?.abort.abort();
    this.#trial = null;
    if (candidate === null) return;
    const abort = new AbortController();
    const both = AbortSignal.any([signal, abort.signal]);
    const done = (async () => {
      await before?.done;
      await this.#newest(both);
      await this.#shadow(candidate, base, both);
    })().catch((error: unknown) => {
      if (!both.aborted) this.#options.context.log.warn({ error: String(error) }, 'a candidate is not tried');
    });
    this.#trial = { key, abort, done };
  }

  async #shadow(candidate: CandidateModel, base: RunManifest, signal: AbortSignal): Promise<void> {
    const { context, pipeline } = this.#options;
    const { modelVersion } = candidate;
    const opened: Detector[] = [];
    try {
      for (const one of [candidate, base]) opened.push(await this.#load(one, signal));
    } catch (error) {
      for (const detector of opened) await detector.close();
      if (!(error instanceof TwinwatchError && error.code === 'DETECTOR_REFUSED')) throw error;
      this.#report({ modelVersion, failed: true, detail: error.message.slice(0, 1_000) }, signal);
      return;
    }
    const [first, second] = opened as [Detector, Detector];
    await new ShadowRun({
      ...{ store: context.store, pipeline, candidate: first, current: second, log: context.log },
      rows: candidate.rows,
      past: candidate.stage === 'shadow',
      onNumbers: (numbers) => this.#report({ modelVersion, ...numbers }, signal),
    }).run(signal);
  }

  #report(report: Pick<ModelReport, 'modelVersion'> & Partial<ModelReport>, signal: AbortSignal): void {
    const { context } = this.#options;
    const none = { rows: 0, above: 0, currentAbove: 0, errors: 0, failed: false, detail: '' };
    const message: ModelReport = { ...none, ...report, kind: 'model-report' };
    void publishUntilTaken(context, context.topics.answer, message, signal);
  }

  /** Unless a newer manifest aborts the signal: then it rejects. */
  #newest(signal: AbortSignal): Promise<void> {
    return this.#options.context.timers.sleep('newer-manifest', NEWER_FOLLOWS_MS, signal);
  }

  /** Until it runs, is refused, or nobody wants it any more. */
  async #take(manifest: RunManifest, signal: AbortSignal): Promise<void> {
    const { context } = this.#options;
    const { modelVersion } = manifest;
    await this.#newest(signal).catch(() => undefined);
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
          this.#report({ modelVersion, failed: true, detail: error.message.slice(0, 1_000) }, signal);
          return;
        }
        context.log.warn(told, 'detector not in use yet; it is tried again');
        await context.timers.sleep('model-retry', AGAIN_MS, signal).catch(() => undefined);
      }
    }
  }

  async #tryTake(manifest: RunManifest, signal: AbortSignal): Promise<void> {
    const { context, pipeline, onModel } = this.#options;
    const detector = await this.#load(manifest, signal);
    await pipeline.use(detector);
    const { modelVersion, round, model, lineage, threshold, releasedAtMs } = manifest;
    const before = this.#current;
    this.#current = { modelVersion, round, model, lineage, threshold, releasedAtMs };
    if (before !== null) context.store.write({ op: 'state', key: MANIFEST_BEFORE, value: JSON.stringify(before) });
    context.store.write({ op: 'state', key: MANIFEST, value: JSON.stringify(this.#current) });
    context.log.info({ modelVersion, round }, 'detector in use');
    onModel();
  }

  /** @throws TwinwatchError DETECTOR_REFUSED, AGENT_BLOB_FAILED, or the signal's reason. */
  async #load(manifest: RunManifest, signal: AbortSignal): Promise<Detector> {
    const { context, blobs, siteTags } = this.#options;
    const bytes = await blobs.get(manifest.model, true, signal);
    const detector = await Detector.load(bytes, siteTags());
    const differing = difference(manifest, detector, context.federation);
    if (differing !== null || signal.aborted) await detector.close();
    signal.throwIfAborted();
    if (differing !== null)
      throw new TwinwatchError('DETECTOR_REFUSED', `The model is not taken into use: ${differing}`);
    return detector;
  }
}

/** What the announcement and the file say differently, null where they agree. */
function difference(manifest: RunManifest, { metadata }: Detector, federation: string): string | null {
  const pairs = {
    federation: [federation, metadata.federation],
    version: [manifest.modelVersion, metadata.modelVersion],
    threshold: [manifest.threshold, metadata.threshold],
    lineage: [manifest.lineage.hash, metadata.lineageHash],
  };
  const found = Object.entries(pairs).find(([, [announced, inside]]) => announced !== inside);
  return found === undefined ? null : `its manifest says ${found[0]} ${found[1][0]}, the file ${found[1][1]}`;
}
