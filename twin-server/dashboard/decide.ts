import type { AlarmAction } from '@twinwatch/core/wire/commands';
import {
  type AlarmDecisionRequest,
  alarmActionPath,
  CHANGE_HEADER,
  type DecisionView,
} from '@twinwatch/core/wire/http';

/** What the page lets a person decide about an alarm. */
export type PageAction = Extract<AlarmAction, 'acknowledge' | 'confirm' | 'dismiss'>;

/** @throws Error in words for the person where the server cannot be reached or refuses. */
export async function decide(alarmId: string, action: PageAction, by: string): Promise<DecisionView> {
  const body: AlarmDecisionRequest = { by };
  const response = await fetch(alarmActionPath(alarmId, action), {
    method: 'POST',
    headers: { 'content-type': 'application/json', [CHANGE_HEADER.name]: CHANGE_HEADER.value },
    body: JSON.stringify(body),
  }).catch(() => {
    throw new Error('The server does not answer; nothing was decided.');
  });
  const answer = (await response.json().catch(() => ({}))) as DecisionView | { readonly error?: string };
  if (response.ok) return answer as DecisionView;
  throw new Error(`Refused: ${'error' in answer ? answer.error : `HTTP ${response.status}`}`);
}

/** The newest decision of one kind about an alarm. */
export function newestDecision(
  decisions: readonly DecisionView[],
  actions: readonly DecisionView['action'][],
): DecisionView | null {
  return (
    decisions.findLast(({ action, answer }) => actions.includes(action) && answer?.verdict !== 'superseded') ?? null
  );
}
