import type { AlarmCommand, CommandReceipt, CommandVerdict, LabelCommand } from '@twinwatch/core/wire/commands';
import type Database from 'libsql';
import type { RowTable } from './row-table.js';

/**
 * What people decided, with who and when, and the receipts their commands got: a command that comes again gets the same one. Each function
 * is to be called inside a transaction.
 */

export const DECISION_TABLES = `
  CREATE TABLE IF NOT EXISTS labels (position INTEGER PRIMARY KEY AUTOINCREMENT, command_id TEXT NOT NULL UNIQUE, from_ms REAL NOT NULL,
    to_ms REAL NOT NULL, label TEXT NOT NULL, decided_by TEXT NOT NULL, decided_ms REAL NOT NULL);
  CREATE TABLE IF NOT EXISTS commands (position INTEGER PRIMARY KEY AUTOINCREMENT, command_id TEXT NOT NULL UNIQUE, decided_by TEXT NOT NULL,
    decided_ms REAL NOT NULL, receipt TEXT NOT NULL);`;

/** Receipts kept: far more than a server has under way at once. */
const KEPT_RECEIPTS = 10_000;

export function commandReceipt(database: Database.Database, commandId: string): CommandReceipt | null {
  const [found] = database.prepare('SELECT receipt FROM commands WHERE command_id = ?').raw().all(commandId) as [
    string,
  ][];
  return found === undefined ? null : (JSON.parse(found[0]) as CommandReceipt);
}

export function keepReceipt(
  database: Database.Database,
  { commandId, by, decidedAtMs }: AlarmCommand | LabelCommand,
  receipt: CommandReceipt,
): void {
  const { changes } = database
    .prepare('INSERT OR IGNORE INTO commands (command_id, decided_by, decided_ms, receipt) VALUES (?, ?, ?, ?)')
    .run(commandId, by, decidedAtMs, JSON.stringify(receipt));
  if (changes > 0)
    database
      .prepare('DELETE FROM commands WHERE position <= (SELECT max(position) FROM commands) - ?')
      .run(KEPT_RECEIPTS);
}

export function decide(
  database: Database.Database,
  rows: RowTable,
  command: AlarmCommand | LabelCommand,
): CommandReceipt {
  const known = commandReceipt(database, command.commandId);
  if (known !== null) return known;
  const receipt = command.kind === 'label-command' ? label(database, rows, command) : verdict(database, rows, command);
  keepReceipt(database, command, receipt);
  return receipt;
}

function label(database: Database.Database, rows: RowTable, command: LabelCommand): CommandReceipt {
  const { commandId, by, decidedAtMs, fromMs, toMs } = command;
  database
    .prepare('INSERT INTO labels (command_id, from_ms, to_ms, label, decided_by, decided_ms) VALUES (?, ?, ?, ?, ?, ?)')
    .run(commandId, fromMs, toMs, command.label, by, decidedAtMs);
  const count = rows.countBetween(fromMs, toMs);
  const none = 'the site has no row of that time; one that comes later, or is imported, takes the label';
  return answer(commandId, 'done', count === 0 ? none : '', count);
}

function verdict(database: Database.Database, rows: RowTable, command: AlarmCommand): CommandReceipt {
  const { commandId, alarmId, by, decidedAtMs } = command;
  const [alarm] = database
    .prepare('SELECT raised_ms, cleared_ms, verdict, decided_ms FROM alarms WHERE alarm_id = ?')
    .raw()
    .all(alarmId) as [number, number | null, string | null, number | null][];
  if (alarm === undefined) return answer(commandId, 'unknown-alarm', `this site has no alarm ${alarmId}`, 0);
  const [raisedMs, clearedMs, before, decidedMs] = alarm;
  const count = rows.countBetween(raisedMs, clearedMs === null ? Number.MAX_SAFE_INTEGER : clearedMs - 1);
  if (decidedMs !== null && decidedMs > decidedAtMs)
    return answer(commandId, 'superseded', `a later decision has ${before} it`, count);
  const decided = command.action === 'confirm' ? 'confirmed' : 'dismissed';
  database
    .prepare('UPDATE alarms SET verdict = ?, decided_by = ?, decided_ms = ? WHERE alarm_id = ?')
    .run(decided, by, decidedAtMs, alarmId);
  const lasting = clearedMs === null ? 'the alarm still lasts; its rows count once it is over' : '';
  return answer(commandId, before === decided ? 'unchanged' : 'done', lasting, count);
}

function answer(commandId: string, outcome: CommandVerdict, detail: string, rows: number): CommandReceipt {
  return { kind: 'command-receipt', commandId, verdict: outcome, detail, rows };
}
