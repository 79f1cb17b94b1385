import type { DecisionView } from '@twinwatch/core/wire/http';
import { useState } from 'react';
import { type Alarm, isActive } from '../alarm-list.js';
import { decide, newestDecision, type PageAction } from '../decide.js';
import { decisionWords } from '../wording.js';

interface DecisionsProps {
  readonly alarm: Alarm;
  /** Of any alarm, in the order they were made. */
  readonly decisions: readonly DecisionView[];
  /** Who decides; empty until a person has said so. */
  readonly by: string;
  readonly onDecided: (decision: DecisionView) => void;
}

const WORDS: Readonly<Record<PageAction, string>> = {
  acknowledge: 'Acknowledge',
  confirm: 'Confirm',
  dismiss: 'Dismiss',
};
const MEANING: Readonly<Record<PageAction, string>> = {
  acknowledge: 'somebody looks after it',
  confirm: 'an attack; its rows are learned as such',
  dismiss: 'a false alarm; its rows are learned as normal',
};

/** The name under which this browser's decisions are recorded. */
export const NAME_FIELD = 'decide-as';

/** What can be decided about an alarm, and what was. */
export function Decisions({ alarm, decisions, by, onDecided }: DecisionsProps) {
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState<string | null>(null);
  const own = decisions.filter(({ alarmId, agent }) => alarmId === alarm.alarmId && agent === alarm.agent);
  const verdict = newestDecision(own, ['confirm', 'dismiss']);
  const operated = newestDecision(own, ['acknowledge', 'shelve', 'unshelve']);

  const choose = async (action: PageAction) => {
    if (by.trim() === '') {
      setFault('Enter your name above first: it is recorded with the decision.');
      document.getElementById(NAME_FIELD)?.focus();
      return;
    }
    setBusy(true);
    setFault(null);
    try {
      onDecided(await decide(alarm.alarmId, action, by.trim()));
    } catch (error) {
      setFault((error as Error).message);
    } finally {
      setBusy(false);
    }
  };
  // There is nothing to learn from values that did not come.
  const verdicts: readonly PageAction[] = alarm.cause.communication === undefined ? ['confirm', 'dismiss'] : [];
  const actions: readonly PageAction[] = isActive(alarm) ? ['acknowledge', ...verdicts] : verdicts;
  const isDone = (action: PageAction) =>
    action === 'acknowledge'
      ? alarm.acknowledged
      : verdict?.action === action && verdict.answer?.verdict !== 'unknown-alarm';
  return (
    <div className="decisions">
      <span className="choices">
        {actions.map((action) => (
          <button
            key={action}
            type="button"
            aria-pressed={isDone(action)}
            aria-disabled={busy || isDone(action)}
            title={MEANING[action]}
            aria-label={`${WORDS[action]} alarm of ${alarm.agent}: ${MEANING[action]}`}
            onClick={() => {
              if (!busy && !isDone(action)) void choose(action);
            }}
          >
            {WORDS[action]}
          </button>
        ))}
      </span>
      <div role="status">
        {[operated, verdict].map((decision) =>
          decision === null ? null : <p key={decision.commandId}>{decisionWords(decision)}</p>,
        )}
      </div>
      {fault !== null && (
        <p role="alert" className="warn">
          {fault}
        </p>
      )}
    </div>
  );
}
