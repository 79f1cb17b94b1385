import { TwinwatchError } from '@twinwatch/core/errors';
import { SCORE_BINS } from '@twinwatch/core/training/local-round';
import type { Update, UpdateVerdict } from '@twinwatch/core/wire/messages';

/** What an update must keep to before it counts. */
export interface UpdateLimits {
  readonly parameterCount: number;
  readonly maximumNorm: number;
  readonly maximumRows: number;
  /** What the round asks for: layers that are sent back, all of them where null. */
  readonly layerMask: readonly boolean[] | null;
}

export interface CheckedUpdate {
  readonly verdict: UpdateVerdict;
  readonly detail: string;
}

/**
 * Looks at the content of an update whose round and base are right; those are the round machine's to judge.
 *
 * @param delta decoded difference to the base parameters, or the codec's error.
 */
export function checkUpdate(
  update: Pick<Update, 'rows' | 'loss' | 'scores' | 'layerMask'>,
  delta: Float32Array | TwinwatchError,
  limits: UpdateLimits,
): CheckedUpdate {
  if (delta instanceof TwinwatchError) return { verdict: verdictOf(delta), detail: delta.message };
  const [sent, asked] = [update.layerMask, limits.layerMask].map((mask) => JSON.stringify(mask));
  if (sent !== asked) {
    return { verdict: 'wrong-shape', detail: `it holds the layers ${sent}, and the round asks for ${asked}` };
  }
  if (delta.length !== limits.parameterCount) {
    return { verdict: 'wrong-shape', detail: `${delta.length} parameters, expected ${limits.parameterCount}` };
  }
  let squares = 0;
  for (const value of delta) squares += value * value;
  if (!Number.isFinite(squares)) return { verdict: 'not-finite', detail: 'a parameter is NaN or infinite' };
  if (!Number.isFinite(update.loss)) return { verdict: 'not-finite', detail: `the loss is ${update.loss}` };
  const norm = Math.sqrt(squares);
  if (norm > limits.maximumNorm) {
    return { verdict: 'too-large', detail: `norm ${norm.toPrecision(4)}, at most ${limits.maximumNorm} is accepted` };
  }
  if (!Number.isInteger(update.rows) || update.rows < 1 || update.rows > limits.maximumRows) {
    return { verdict: 'implausible-rows', detail: `${update.rows} rows, expected 1 to ${limits.maximumRows}` };
  }
  return checkScores(update);
}

/** An evaluation carries counts only. */
export function checkScores({ scores }: Pick<Update, 'scores'>): CheckedUpdate {
  const total = scores.counts.reduce((sum, count) => sum + count, 0);
  if (scores.counts.length !== SCORE_BINS) {
    return { verdict: 'wrong-shape', detail: `${scores.counts.length} bins of scores, expected ${SCORE_BINS}` };
  }
  const proper = scores.counts.every((count) => Number.isInteger(count) && count >= 0) && total === scores.rows;
  if (proper) return { verdict: 'accepted', detail: '' };
  return { verdict: 'malformed', detail: `the counts of scores sum to ${total}, not to the ${scores.rows} rows given` };
}

function verdictOf({ code }: TwinwatchError): UpdateVerdict {
  if (code === 'WIRE_DELTA_SHAPE') return 'wrong-shape';
  return code === 'WIRE_DELTA_NOT_FINITE' ? 'not-finite' : 'malformed';
}
