import { TwinwatchError } from '@twinwatch/core/errors';
import { SCORE_BINS } from '@twinwatch/core/training/local-round';
import type { Update, UpdateVerdict } from '@twinwatch/core/wire/messages';
import { norm } from './combine/norm.js';

/** What an update must keep to before it counts. */
export interface UpdateLimits {
  readonly parameterCount: number;
  readonly maximumNorm: number;
  readonly maximumRows: number;
  /** What the round asks for: layers that are sent back, all of them where null. */
  readonly layerMask: readonly boolean[] | null;
  /** Of the norm, by the median of what was accepted lately; null where that is not known. */
  readonly normBound: number | null;
  /** Of the rows, by what the agent announced; null where that does not bind. */
  readonly rowsBound: number | null;
}

export interface CheckedUpdate {
  readonly verdict: UpdateVerdict;
  readonly detail: string;
  /** Euclidean; null where the parameters cannot be read, and of an evaluation. */
  readonly norm: number | null;
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
  const refused = (verdict: UpdateVerdict, detail: string): CheckedUpdate => ({ verdict, detail, norm: null });
  if (delta instanceof TwinwatchError) return refused(verdictOf(delta), delta.message);
  const [sent, asked] = [update.layerMask, limits.layerMask].map((mask) => JSON.stringify(mask));
  if (sent !== asked) {
    return refused('wrong-shape', `it holds the layers ${sent}, and the round asks for ${asked}`);
  }
  if (delta.length !== limits.parameterCount) {
    return refused('wrong-shape', `${delta.length} parameters, expected ${limits.parameterCount}`);
  }
  const length = norm(delta);
  if (!Number.isFinite(length)) return refused('not-finite', 'a parameter is NaN or infinite');
  if (!Number.isFinite(update.loss)) return refused('not-finite', `the loss is ${update.loss}`);
  const { maximumNorm, maximumRows, normBound, rowsBound } = limits;
  if (length > maximumNorm) {
    return refused('too-large', `norm ${length.toPrecision(4)}, at most ${maximumNorm} is accepted`);
  }
  if (normBound !== null && length > normBound) {
    const bound = normBound.toPrecision(4);
    return refused(
      'too-large',
      `norm ${length.toPrecision(4)}, at most ${bound} by the median of those accepted lately`,
    );
  }
  const { rows } = update;
  if (!Number.isInteger(rows) || rows < 1 || rows > maximumRows) {
    return refused('implausible-rows', `${rows} rows, expected 1 to ${maximumRows}`);
  }
  if (rowsBound !== null && rows > rowsBound) {
    return refused('implausible-rows', `${rows} rows, at most ${rowsBound} by what the agent announced`);
  }
  // A fit needs none.
  if (update.scores === null) return { verdict: 'accepted', detail: '', norm: length };
  return { ...checkScores(update), norm: length };
}

/** An evaluation carries counts only. */
export function checkScores({ scores }: Pick<Update, 'scores'>): CheckedUpdate {
  if (scores === null) return { verdict: 'malformed', detail: 'an evaluation without scores', norm: null };
  const total = scores.counts.reduce((sum, count) => sum + count, 0);
  if (scores.counts.length !== SCORE_BINS) {
    const detail = `${scores.counts.length} bins of scores, expected ${SCORE_BINS}`;
    return { verdict: 'wrong-shape', detail, norm: null };
  }
  const proper = scores.counts.every((count) => Number.isInteger(count) && count >= 0) && total === scores.rows;
  if (proper) return { verdict: 'accepted', detail: '', norm: null };
  const detail = `the counts of scores sum to ${total}, not to the ${scores.rows} rows given`;
  return { verdict: 'malformed', detail, norm: null };
}

function verdictOf({ code }: TwinwatchError): UpdateVerdict {
  if (code === 'WIRE_DELTA_SHAPE') return 'wrong-shape';
  return code === 'WIRE_DELTA_NOT_FINITE' ? 'not-finite' : 'malformed';
}
