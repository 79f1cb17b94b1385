/**
 * One alarm for all values that do not come, as a pure state machine beside the detector's. A tag that is not good is held for a number of rows;
 * after that the detector abstains, and a person has to know, once, however many tags it is.
 */

export interface CommunicationState {
  /** Alarms so far, and transitions of the newest. */
  readonly alarmNumber: number;
  readonly transitionNumber: number;
  readonly isActive: boolean;
  /** Rows in a row without any tag that counts as silent. */
  readonly goodRows: number;
  /** Tag → rows for which it has not been good. */
  readonly badRows: Readonly<Record<string, number>>;
}

export interface CommunicationEffect {
  readonly transition: 'raised' | 'cleared';
  readonly alarmNumber: number;
  readonly transitionNumber: number;
  /** Tags that are not good for more rows than they are held; empty when cleared. */
  readonly tags: readonly string[];
}

export const QUIET_COMMUNICATION: CommunicationState = {
  alarmNumber: 0,
  transitionNumber: 0,
  isActive: false,
  goodRows: 0,
  badRows: {},
};

/**
 * One row, or what stands for one where none comes any more.
 * @param bad tags that are not good in it. @param holdRows rows for which a tag may be bad, and for which all must be good to clear.
 */
export function communicationStep(
  before: CommunicationState,
  bad: readonly string[],
  holdRows: number,
): { readonly state: CommunicationState; readonly effect: CommunicationEffect | null } {
  const badRows = Object.fromEntries(bad.map((tag) => [tag, (before.badRows[tag] ?? 0) + 1]));
  const silent = bad.filter((tag) => badRows[tag]! > holdRows);
  const goodRows = bad.length === 0 ? before.goodRows + 1 : 0;
  const state = { ...before, badRows, goodRows };
  if (!before.isActive && silent.length > 0) {
    const alarmNumber = before.alarmNumber + 1;
    return {
      state: { ...state, isActive: true, alarmNumber, transitionNumber: 1 },
      effect: { transition: 'raised', alarmNumber, transitionNumber: 1, tags: silent },
    };
  }
  if (before.isActive && goodRows >= Math.max(1, holdRows)) {
    const transitionNumber = before.transitionNumber + 1;
    return {
      state: { ...state, isActive: false, transitionNumber },
      effect: { transition: 'cleared', alarmNumber: before.alarmNumber, transitionNumber, tags: [] },
    };
  }
  return { state, effect: null };
}
