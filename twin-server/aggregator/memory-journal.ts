import { hashOf } from '@twinwatch/core/wire/blobs';
import type { ModelView, RoundView } from '@twinwatch/core/wire/http';
import type { Calibration, Manifest, Update } from '@twinwatch/core/wire/messages';
import type { RoundJournal, UpdateKind } from './journal.js';
import type { FederationState } from './rounds/round-state.js';

interface KeptUpdate {
  readonly run: string;
  readonly agent: string;
  readonly kind: UpdateKind;
  /** Its delta is empty once its payload was dropped. */
  update: Update;
  dropped: boolean;
}

/**
 * A journal that forgets everything when its process ends, for federations within one process, where nothing has to be gone on from: the
 * same answers as the server's, without a database. A transaction that throws is not undone; who runs such a federation gives it up.
 */
export function openMemoryJournal(): RoundJournal {
  const states = new Map<string, FederationState>();
  const blobs = new Map<string, Uint8Array>();
  const calibrations = new Map<string, Map<string, Calibration['moments']>>();
  const updates = new Map<string, KeptUpdate>();
  const views = new Map<string, Map<number, RoundView>>();
  const models: { readonly view: ModelView; readonly manifest: Manifest }[] = [];
  const key = (run: string, round: number, agent: string, kind: UpdateKind) => `${run} ${round} ${kind} ${agent}`;
  const kept = (run: string, round: number, kind: UpdateKind): KeptUpdate[] =>
    [...updates.values()]
      .filter((one) => one.run === run && one.kind === kind && one.update.round === round)
      .sort((a, b) => (a.agent < b.agent ? -1 : 1));

  return {
    transaction: (work) => work(),
    loadState: (run) => states.get(run) ?? null,
    saveState: (run, state) => void states.set(run, state),
    putBlob(bytes) {
      const hash = hashOf(bytes);
      if (!blobs.has(hash)) blobs.set(hash, bytes.slice());
      return { hash, bytes: bytes.length };
    },
    blob: (hash) => blobs.get(hash) ?? null,
    blobSize: (hash) => blobs.get(hash)?.length ?? null,
    retainBlobs(hashes) {
      const gone = [...blobs.keys()].filter((hash) => !hashes.has(hash));
      for (const hash of gone) blobs.delete(hash);
      return gone.length;
    },
    putCalibration(run, agent, moments) {
      const own = calibrations.get(run) ?? new Map<string, Calibration['moments']>();
      calibrations.set(run, own.set(agent, moments));
    },
    calibrations: (run) =>
      [...(calibrations.get(run) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, moments]) => moments),
    putUpdate: (run, agent, kind, update) =>
      void updates.set(key(run, update.round, agent, kind), { run, agent, kind, update, dropped: false }),
    hasUpdate: (run, round, agent, kind) => updates.has(key(run, round, agent, kind)),
    updates: (run, round) =>
      kept(run, round, 'fit')
        .filter(({ dropped }) => !dropped)
        .map(({ agent, update }) => ({ agent, update })),
    histograms: (run, round) => kept(run, round, 'evaluate').flatMap(({ update }) => update.scores ?? []),
    dropPayloads(run, round) {
      for (const one of updates.values()) {
        if (one.run !== run || one.update.round > round || one.dropped) continue;
        one.update = { ...one.update, delta: new Uint8Array() };
        one.dropped = true;
      }
    },
    discardUpdates(run, round) {
      for (const { agent } of kept(run, round, 'fit')) updates.delete(key(run, round, agent, 'fit'));
    },
    putRejection: () => undefined,
    putRound(run, _attempt, view) {
      const own = views.get(run) ?? new Map<number, RoundView>();
      views.set(run, own.set(view.round, view));
    },
    rounds: (run, limit = Number.POSITIVE_INFINITY) =>
      [...(views.get(run) ?? [])]
        .sort(([a], [b]) => a - b)
        .slice(-limit)
        .map(([, view]) => view),
    putModel: (_run, view, manifest) => void models.push({ view, manifest }),
    latestModel: () => models.at(-1)?.view ?? null,
    manifests: (limit) =>
      models
        .slice(-limit)
        .reverse()
        .map(({ manifest }) => manifest),
    modelCount: () => models.length,
    keptManifests: (limit) => models.slice(-limit).map(({ manifest }) => manifest),
    contributors: (run, round) =>
      kept(run, round, 'fit').map(({ agent, update: { rows, window } }) => ({
        agent,
        rows,
        ...(window === undefined ? {} : { window }),
      })),
    close: () => undefined,
  };
}
