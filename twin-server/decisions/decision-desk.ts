import { TwinwatchError } from '@twinwatch/core/errors';
import type { AlarmAction, AlarmCommand, CommandReceipt, LabelCommand } from '@twinwatch/core/wire/commands';
import type { AlarmDecisionRequest, DecisionView, LabelRequest } from '@twinwatch/core/wire/http';
import type { Journal, JournalledDecision } from '../aggregator/journal.js';

export interface DecisionDeskOptions {
  readonly journal: Journal;
  /** Wall clock. */
  readonly now: () => number;
  readonly newId: () => string;
  readonly isAgent: (id: string) => boolean;
  /** A first try; those that wait are sent again by whoever has the link. */
  readonly send: (agent: string, command: AlarmCommand | LabelCommand) => void;
  /** Made, or answered. */
  readonly onDecision: (decision: DecisionView) => void;
}

/** An agent that is away for good must not fill the disk. */
const MOST_WAITING = 1_000;

/**
 * Where decisions of people come in: journalled first, then sent to their agent, and kept as waiting until it has answered. Who decides is
 * what the request says; nothing here checks that.
 */
export class DecisionDesk {
  readonly #options: DecisionDeskOptions;

  constructor(options: DecisionDeskOptions) {
    this.#options = options;
  }

  /** @throws TwinwatchError API_UNKNOWN_ALARM, API_REQUEST_INVALID, API_COMMAND_REUSED, API_TOO_MANY_WAITING */
  alarm(alarmId: string, action: AlarmAction, request: AlarmDecisionRequest): DecisionView {
    const { journal, newId } = this.#options;
    const alarm = journal.alarm(alarmId);
    if (alarm === null)
      throw new TwinwatchError(
        'API_UNKNOWN_ALARM',
        `there is no alarm '${alarmId}' here; \`twinwatch alarms list\` shows those there are`,
      );
    if (alarm.communication !== undefined && action !== 'acknowledge')
      throw new TwinwatchError(
        'API_REQUEST_INVALID',
        `'${alarmId}' says that values do not come: it can be acknowledged, and clears once they do; there is nothing to ${action}`,
      );
    const { by, commandId = newId(), shelveMs = null } = request;
    return this.#decide(alarm.agent, {
      ...{ kind: 'alarm-command', commandId, by, decidedAtMs: this.#nextMs(), action, alarmId },
      shelveMs: action === 'shelve' ? shelveMs : null,
    });
  }

  /** @throws TwinwatchError API_UNKNOWN_AGENT, API_COMMAND_REUSED, API_TOO_MANY_WAITING */
  label(agent: string, { by, commandId = this.#options.newId(), fromMs, toMs, label }: LabelRequest): DecisionView {
    if (!this.#options.isAgent(agent))
      throw new TwinwatchError('API_UNKNOWN_AGENT', `there is no agent '${agent}' in this federation; check its name`);
    const decidedAtMs = this.#nextMs();
    return this.#decide(agent, { kind: 'label-command', commandId, by, decidedAtMs, fromMs, toMs, label });
  }

  find(commandId: string): DecisionView | null {
    const found = this.#options.journal.decision(commandId);
    return found === null ? null : decisionView(found);
  }

  /** Commands that an agent has not answered, in the order they were decided. */
  waiting(agent: string): (AlarmCommand | LabelCommand)[] {
    return this.#options.journal.waitingDecisions(agent).map(({ command }) => command);
  }

  /** @returns true where the agent's training rows are others now. */
  answered(agent: string, receipt: CommandReceipt): boolean {
    const { journal, onDecision } = this.#options;
    if (!journal.answerDecision(agent, receipt)) return false;
    const { command } = journal.decision(receipt.commandId)!;
    onDecision(decisionView({ agent, command, answer: receipt }));
    const labels = command.kind === 'label-command' || command.action === 'confirm' || command.action === 'dismiss';
    return labels && receipt.verdict === 'done';
  }

  #decide(agent: string, command: AlarmCommand | LabelCommand): DecisionView {
    const { journal, send, onDecision } = this.#options;
    const before = journal.decision(command.commandId);
    if (before !== null) {
      if (before.agent === agent && isSame(before.command, command)) return decisionView(before);
      throw new TwinwatchError(
        'API_COMMAND_REUSED',
        `command id '${command.commandId}' was used before for something else; give every decision its own`,
      );
    }
    if (journal.waitingDecisionCount(agent) >= MOST_WAITING)
      throw new TwinwatchError(
        'API_TOO_MANY_WAITING',
        `${MOST_WAITING} decisions wait for agent ${agent} already; see why it does not answer`,
      );
    const decision = { agent, command, answer: null };
    journal.putDecision(decision);
    const view = decisionView(decision);
    onDecision(view);
    send(agent, command);
    return view;
  }

  /** Rises with every decision, whatever the clock does, so that the later of two is known. */
  #nextMs(): number {
    return Math.max(this.#options.now(), this.#options.journal.lastDecidedAtMs() + 1);
  }
}

export function decisionView({ agent, command, answer }: JournalledDecision): DecisionView {
  const { commandId, by, decidedAtMs: atMs } = command;
  const about = command.kind === 'label-command' ? labelled(command) : operated(command);
  return {
    ...{ commandId, agent, by, atMs, ...about },
    answer: answer === null ? null : { verdict: answer.verdict, detail: answer.detail, rows: answer.rows },
  };
}

function labelled({ fromMs, toMs, label }: LabelCommand) {
  return { action: 'label', alarmId: null, range: { fromMs, toMs, label }, shelveMs: null } as const;
}

function operated({ action, alarmId, shelveMs }: AlarmCommand) {
  return { action, alarmId, range: null, shelveMs };
}

/** The same decision asked for again, whenever that was. */
function isSame(a: AlarmCommand | LabelCommand, b: AlarmCommand | LabelCommand): boolean {
  return JSON.stringify({ ...a, decidedAtMs: 0 }) === JSON.stringify({ ...b, decidedAtMs: 0 });
}
