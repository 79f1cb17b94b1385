import type { AgentDatabase, StoreWrite } from './agent-database.js';

/** Between the store and its worker: batches of work in order, one batch under way at a time. */

/** What can be asked of the store and is answered. */
export type StoreCall =
  | 'outbox'
  | 'eventsOf'
  | 'lastingEvents'
  | 'alarms'
  | 'labels'
  | 'decide'
  | 'keepReceipt'
  | 'commandReceipt'
  | 'state'
  | 'alarmState'
  | 'blob'
  | 'putBlob'
  | 'importRows'
  | 'rows'
  | 'lastRow'
  | 'lastTags'
  | 'stats';

export type CallArguments<K extends StoreCall> = Parameters<AgentDatabase[K]>;
export type CallResult<K extends StoreCall> = ReturnType<AgentDatabase[K]>;

export type StoreWork =
  | { readonly kind: 'write'; readonly write: StoreWrite }
  | { readonly kind: 'call'; readonly call: StoreCall; readonly arguments: readonly unknown[] };

export type ToWorker = { readonly kind: 'batch'; readonly work: readonly StoreWork[] } | { readonly kind: 'close' };

export type CallOutcome = { readonly value: unknown } | { readonly error: string };

export type FromWorker =
  | { readonly kind: 'opened' }
  /** One outcome for each call of the batch, in order. `refused` says why the batch's writes after the first `written` were not done. */
  | {
      readonly kind: 'done';
      readonly outcomes: readonly CallOutcome[];
      readonly written: number;
      readonly refused: string | null;
    }
  | { readonly kind: 'told'; readonly message: string };
