import { decodeLineage } from '@twinwatch/core/wire/blobs';
import type { RoundJournal } from './journal.js';
import type { FederationState } from './rounds/round-state.js';

/** Models kept for download, beside those that the registry may go back to; older ones keep their entry there. */
const KEPT_MODELS = 20;

/** What a restart or an agent may still ask for; everything else may go. */
export function neededBlobs(journal: RoundJournal, state: FederationState): Set<string> {
  const needed = new Set<string>();
  const lineages = [state.lineageHash];
  for (const manifest of journal.keptManifests(KEPT_MODELS)) {
    needed.add(manifest.model.hash);
    lineages.push(manifest.lineage.hash);
  }
  const { globalHash, twinHash, optimizer, teacher, best, release, current } = state;
  const { before } = current ?? {};
  for (const hash of [
    ...lineages,
    ...[globalHash, twinHash, optimizer?.hash, teacher?.hash, best?.parametersHash, release?.candidate.parametersHash],
    ...[current?.baseHash, before?.globalHash, before?.twinHash, before?.optimizer?.hash, before?.teacher?.hash],
  ]) {
    if (hash !== null && hash !== undefined) needed.add(hash);
  }
  for (const hash of lineages) {
    const bytes = hash === null ? null : journal.blob(hash);
    const exchange = bytes === null ? null : decodeLineage(bytes).exchange;
    if (exchange !== null) needed.add(exchange.hash);
  }
  return needed;
}
