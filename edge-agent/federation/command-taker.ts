import type { AlarmCommand, CommandReceipt, LabelCommand } from '@twinwatch/core/wire/commands';
import type { DetectionPipeline } from '../detection/detection-pipeline.js';
import { enveloped, type FederationContext } from './federation-context.js';

export interface CommandTakerOptions {
  readonly context: FederationContext;
  readonly pipeline: Pick<DetectionPipeline, 'operate' | 'isCommunicationAlarm'>;
  /** What may be learned from has changed. */
  readonly onLabels: () => void;
}

/**
 * Does what people decided, once, and answers every time it is asked. A receipt that gets lost is asked for again: the server sends a
 * command until it is answered.
 */
export class CommandTaker {
  readonly #options: CommandTakerOptions;
  #turn: Promise<void> = Promise.resolve();

  constructor(options: CommandTakerOptions) {
    this.#options = options;
  }

  /** Returns at once; commands are done in the order they come. */
  take(command: AlarmCommand | LabelCommand): void {
    const { context } = this.#options;
    this.#turn = this.#turn
      .then(async () => {
        const receipt = await this.#receipt(command);
        const { answer } = context.topics;
        await context.link.publish(answer, enveloped(context, answer, receipt));
      })
      .catch((error: unknown) =>
        context.log.warn({ command: command.commandId, error: String(error) }, 'a command is not answered yet'),
      );
  }

  async #receipt(command: AlarmCommand | LabelCommand): Promise<CommandReceipt> {
    const { context, pipeline, onLabels } = this.#options;
    const { store, log } = context;
    const known = await store.call('commandReceipt', command.commandId);
    if (known !== null) return known;
    const told = { commandId: command.commandId, by: command.by };
    const isCommunication = command.kind === 'alarm-command' && pipeline.isCommunicationAlarm(command.alarmId);
    if (
      command.kind === 'label-command' ||
      (!isCommunication && (command.action === 'confirm' || command.action === 'dismiss'))
    ) {
      const receipt = await store.call('decide', command);
      const about = command.kind === 'label-command' ? 'label a range' : `${command.action} ${command.alarmId}`;
      log.info({ ...told, verdict: receipt.verdict, rows: receipt.rows }, about);
      if (receipt.verdict === 'done') onLabels();
      return receipt;
    }
    const { action, alarmId } = command;
    const changed = action !== 'confirm' && action !== 'dismiss' && (await pipeline.operate({ ...command, action }));
    const isKnown =
      changed || isCommunication || (await store.call('alarms')).some((alarm) => alarm.alarmId === alarmId);
    const receipt: CommandReceipt = {
      kind: 'command-receipt',
      commandId: command.commandId,
      verdict: changed ? 'done' : isKnown ? 'unchanged' : 'unknown-alarm',
      detail: changed ? '' : unchangedWords(alarmId, isKnown, isCommunication && action !== 'acknowledge'),
      rows: 0,
    };
    await store.call('keepReceipt', command, receipt);
    log.info({ ...told, verdict: receipt.verdict }, `${action} ${alarmId}`);
    return receipt;
  }
}

function unchangedWords(alarmId: string, isKnown: boolean, isUnfit: boolean): string {
  if (!isKnown) return `this site has no alarm ${alarmId}`;
  return isUnfit
    ? 'it says that values do not come: it can be acknowledged, and clears once they do'
    : 'the alarm is over, or was so already';
}
