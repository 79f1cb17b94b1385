import type { FitTask, UpdateVerdict } from './messages.js';
import { type EncodedDelta, encodeDelta, type LayerLayout } from './parameter-codec.js';

/**
 * Error feedback: what a codec left out of an update is added to the next one (Seide et al. 2014; Karimireddy et al. 2019). It is owed only once the
 * update counts, hence committed on the receipt; the same for an agent and for a client within one process.
 */
export interface Feedback {
  readonly lineageHash: string;
  /** Of the last update that counted. */
  readonly round: number;
  /** [parameters]: what was owed before that update, null for nothing, and what is since. */
  readonly before: Float32Array | null;
  readonly after: Float32Array;
}

/**
 * What a fit for `round` is to add, null for nothing.
 *
 * A server that asks again for a round in which an update counted has let go of it (its aggregation failed): then it is as it was before.
 */
export function owedIn(feedback: Feedback | null, lineageHash: string, round: number): Float32Array | null {
  if (feedback === null || feedback.lineageHash !== lineageHash) return null;
  return feedback.round === round ? feedback.before : feedback.after;
}

/** @param sent what will be owed once that update counts. */
export function afterVerdict(feedback: Feedback | null, sent: Feedback, verdict: UpdateVerdict): Feedback | null {
  switch (verdict) {
    case 'accepted':
      return sent;
    case 'duplicate': {
      // What counted in that round was another attempt's, if one of it is known to have counted.
      const isKnown = feedback?.lineageHash === sent.lineageHash && feedback.round === sent.round;
      return isKnown ? feedback : sent;
    }
    case 'too-large':
      // Carried over, what made it too large would make the next one too large, and so on for good.
      return null;
    default:
      return feedback;
  }
}

/** @param delta [parameters] what was learned in this round. @throws TwinwatchError WIRE_DELTA_* */
export function encodeWithFeedback(
  delta: Float32Array,
  owed: Float32Array | null,
  layers: readonly LayerLayout[],
  { codec, layerMask, topKShare }: Pick<FitTask, 'codec' | 'layerMask' | 'topKShare'>,
): EncodedDelta {
  const whole = owed?.length === delta.length ? delta.map((value, i) => value + owed[i]!) : delta;
  return encodeDelta(whole, layers, codec, layerMask, topKShare);
}
