import type { RoundsConfig } from '@twinwatch/core/config/server';
import { dot, medianOf, norm } from './norm.js';
import { coordinateMedian } from './trimmed-mean.js';

/** Of one round's updates Δ_k = Θ_k − base: who is left out, and what is left of the others. */
export interface Filtered {
  readonly kept: readonly { readonly place: number; readonly update: Float32Array }[];
  readonly leftOut: readonly { readonly place: number; readonly detail: string }[];
  /** What was done otherwise than configured, in words. */
  readonly remarks: readonly string[];
}

/**
 * First the signed cosine: an update at less than `minimumCosine` to the direction is left out. The direction is Θ_tw − base, or the
 * coordinate median of the updates, each scaled to length 1 so that size buys no say. Then the norms: what is longer than `normMultiple`
 * times the median norm of those kept is scaled down to it (norm bounding, Sun et al., 2019; that the bound follows the median, and the
 * cosine filter, are ours).
 * Where Θ_tw is the base itself, as in the odd rounds of CWA, it has no direction, and the median takes its place.
 *
 * @param updates [clients][parameters], finite. @param towardsTwin Θ_tw − base. [parameters]
 */
export function filterUpdates(
  updates: readonly Float32Array[],
  towardsTwin: Float32Array,
  filter: RoundsConfig['filter'],
): Filtered {
  const remarks: string[] = [];
  const leftOut: { place: number; detail: string }[] = [];
  let kept = updates.map((update, place) => ({ place, update }));
  if (filter.cosine !== 'none' && kept.length > 0) {
    const pointless = filter.cosine === 'twin' && norm(towardsTwin) === 0;
    if (pointless)
      remarks.push('the twin model is what was sent down: updates were compared with their median instead');
    const direction = filter.cosine === 'twin' && !pointless ? towardsTwin : medianDirection(updates);
    const name = filter.cosine === 'twin' && !pointless ? 'the twin model' : 'the median update';
    kept = kept.filter(({ place, update }) => {
      const cosine = cosineOf(update, direction);
      if (cosine >= filter.minimumCosine) return true;
      leftOut.push({
        place,
        detail: `its cosine to ${name} is ${cosine.toFixed(3)}, below ${filter.minimumCosine}`,
      });
      return false;
    });
  }
  if (filter.normMultiple > 0 && kept.length > 0) {
    const norms = kept.map(({ update }) => norm(update));
    const bound = filter.normMultiple * medianOf(norms);
    kept = kept.map(({ place, update }, i) => {
      const factor = norms[i]! > bound ? bound / norms[i]! : 1;
      return { place, update: factor === 1 ? update : update.map((value) => value * factor) };
    });
  }
  return { kept, leftOut, remarks };
}

function medianDirection(updates: readonly Float32Array[]): Float32Array {
  const directions = updates.map((update) => {
    const length = norm(update);
    return length === 0 ? update : update.map((value) => value / length);
  });
  return coordinateMedian(directions, new Float64Array(directions.length).fill(1 / directions.length));
}

/** 0 where one of them is nothing: an update that changes nothing points nowhere. */
function cosineOf(a: Float32Array, b: Float32Array): number {
  const product = norm(a) * norm(b);
  return product === 0 ? 0 : dot(a, b) / product;
}
