/** What people decide about alarms and rows, and what an agent answers. */

/** Of every command: names it for good, so that it may be sent until it is answered, and says whose it is. */
interface Decided {
  /** Unique; the agent does a command once, however often it comes, and answers each time. */
  readonly commandId: string;
  /** Who decided, as they named themselves. */
  readonly by: string;
  /** Server's wall clock; rises with every decision of a server. Of two decisions about the same, the later one stands. */
  readonly decidedAtMs: number;
}

export type AlarmAction = 'acknowledge' | 'shelve' | 'unshelve' | 'confirm' | 'dismiss';

/** server → agent: what an operator decided about an alarm. Confirm and dismiss also label its rows for training. */
export interface AlarmCommand extends Decided {
  readonly kind: 'alarm-command';
  readonly action: AlarmAction;
  readonly alarmId: string;
  /** How long, in the plant's time, for shelve; null otherwise. */
  readonly shelveMs: number | null;
}

/** server → agent: what the rows of a time range were, as a person knows. Overrules everything else that is known of them. */
export interface LabelCommand extends Decided {
  readonly kind: 'label-command';
  /** Source time, both ends included. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly label: 'normal' | 'anomalous';
}

/** 'superseded': a later decision about the same alarm was taken before. */
export type CommandVerdict = 'done' | 'unchanged' | 'superseded' | 'unknown-alarm';

/** agent → server: the command is on the agent's disk, or cannot be done; either way it need not be sent again. */
export interface CommandReceipt {
  readonly kind: 'command-receipt';
  readonly commandId: string;
  readonly verdict: CommandVerdict;
  readonly detail: string;
  /** Stored rows that the decision is about, 0 for acknowledge and shelving. */
  readonly rows: number;
}
