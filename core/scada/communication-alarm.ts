/**
 * One alarm for all values that do not come, as a pure state machine beside the detector's. A tag that is not good is held for a number of rows;
 * after that the detector abstains, and a person has to know, once, however many tags it is.
 */

export interface CommunicationState {
  /** Alarms so far, and transitions of the newest. */
  readonly alarmNumber: number;
  readonly transitionNumber: number;
  readonly isActive: boolean;
  /** Of the alarm that is on; a state of an earlier release does not have it. */
  readonly isAcknowledged?: boolean;
  /** Rows in a row without any tag that counts as silent. */
  readonly goodRows: number;
  readonly badRows: Readonly<Record<string, BadRun>>;
}

/** Of a tag, while it is not good. */
interface BadRun {
  readonly rows: number;
  /** Time of the first of them. */
  readonly sinceMs: number;
}

export interface CommunicationEffect {
  readonly transition: 'raised' | 'acknowledged' | 'cleared';
  readonly alarmNumber: number;
  readonly transitionNumber: number;
  /** Tags that are not good for more rows than they are held, those that are away longest first; empty but when raised. */
  readonly tags: readonly string[];
  /** Time of the first row in which one of them was not good; null but when raised. */
  readonly sinceMs: number | null;
}

interface CommunicationStep {
  readonly state: CommunicationState;
  readonly effect: CommunicationEffect | null;
}

export const QUIET_COMMUNICATION: CommunicationState = {
  alarmNumber: 0,
  transitionNumber: 0,
  isActive: false,
  isAcknowledged: false,
  goodRows: 0,
  badRows: {},
};

/**
 * One row, or what stands for one where none comes any more.
 * @param bad tags that are not good in it. @param holdRows rows for which a tag may be bad, and for which all must be good to clear.
 * @param atMs time of the row; of the last one that came, where it stands for one.
 */
export function communicationStep(
  before: CommunicationState,
  bad: readonly string[],
  holdRows: number,
  atMs: number,
): CommunicationStep {
  const badRows: Record<string, BadRun> = {};
  for (const tag of bad) {
    const run = before.badRows[tag];
    badRows[tag] = { rows: (run?.rows ?? 0) + 1, sinceMs: run?.sinceMs ?? atMs };
  }
  const silent = bad.filter((tag) => badRows[tag]!.rows > holdRows);
  const goodRows = bad.length === 0 ? before.goodRows + 1 : 0;
  const state = { ...before, badRows, goodRows };
  if (!before.isActive && silent.length > 0) {
    const alarmNumber = before.alarmNumber + 1;
    const tags = silent.sort((a, b) => badRows[b]!.rows - badRows[a]!.rows);
    return {
      state: { ...state, isActive: true, isAcknowledged: false, alarmNumber, transitionNumber: 1 },
      effect: { transition: 'raised', alarmNumber, transitionNumber: 1, tags, sinceMs: badRows[tags[0]!]!.sinceMs },
    };
  }
  if (before.isActive && goodRows >= Math.max(1, holdRows)) return transit({ ...state, isActive: false }, 'cleared');
  return { state, effect: null };
}

/** Somebody looks after it. Nothing changes where it is over, or was acknowledged before. */
export function acknowledgeCommunication(before: CommunicationState): CommunicationStep {
  if (!before.isActive || before.isAcknowledged === true) return { state: before, effect: null };
  return transit({ ...before, isAcknowledged: true }, 'acknowledged');
}

function transit(before: CommunicationState, transition: 'acknowledged' | 'cleared'): CommunicationStep {
  const { alarmNumber } = before;
  const transitionNumber = before.transitionNumber + 1;
  const effect = { transition, alarmNumber, transitionNumber, tags: [], sinceMs: null };
  return { state: { ...before, transitionNumber }, effect };
}
