import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import type { AlarmCommand, CommandReceipt, LabelCommand } from '@twinwatch/core/wire/commands';
import type { Contributor, ModelView, RoundView } from '@twinwatch/core/wire/http';
import type { BlobRef, Calibration, Manifest, ScoreHistogram, Update } from '@twinwatch/core/wire/messages';
import type { Floor, Floors } from '@twinwatch/core/wire/replay';
import type { FederationState } from './rounds/round-state.js';

/** What rounds need to remember, wherever it is kept. A *run* is everything learned under one schema, architecture and twin. */
export interface RoundJournal {
  /** Several writes that happen together or not at all. */
  transaction<T>(work: () => T): T;
  loadState(run: string): FederationState | null;
  saveState(run: string, state: FederationState): void;
  /** Stores bytes under their SHA-256 and says so; storing the same bytes twice is storing them once. */
  putBlob(bytes: Uint8Array): BlobRef;
  blob(hash: string): Uint8Array | null;
  blobSize(hash: string): number | null;
  /** Deletes every blob that is not named. */
  retainBlobs(hashes: ReadonlySet<string>): number;
  putCalibration(run: string, agent: string, moments: Calibration['moments']): void;
  calibrations(run: string): Calibration['moments'][];
  putUpdate(run: string, agent: string, kind: UpdateKind, update: Update): void;
  /** Whether an update of this round was ever accepted, its payload deleted or not. */
  hasUpdate(run: string, round: number, agent: string, kind: UpdateKind): boolean;
  updates(run: string, round: number): StoredUpdate[];
  histograms(run: string, round: number): ScoreHistogram[];
  /** Forgets the payloads of this round and all before it. */
  dropPayloads(run: string, round: number): void;
  /** Forgets that updates of this round were accepted: its aggregation failed and it is collected anew. */
  discardUpdates(run: string, round: number): void;
  putRejection(run: string, rejection: JournalledRejection): void;
  putRound(run: string, attempt: number, view: RoundView, detail: string): void;
  /** The last attempt of every round, oldest first; of the newest rounds only where there is a limit. */
  rounds(run: string, limit?: number): RoundView[];
  putModel(run: string, model: ModelView, manifest: Manifest): void;
  /** The newest, of whichever run: agents go on with it until the next. */
  latestModel(): ModelView | null;
  /** Of the newest models, newest first. */
  manifests(limit: number): Manifest[];
  modelCount(): number;
  /** Of the newest models and of those that the registry may go back to. */
  keptManifests(limit: number): Manifest[];
  /** Agents whose updates a round took, with the rows they state. */
  contributors(run: string, round: number): Contributor[];
  close(): void;
}

/** The server's memory, see sqlite-journal.ts. */
export interface Journal extends RoundJournal {
  /** The newest, oldest first. */
  rejections(run: string, limit: number): JournalledRejection[];
  /** False where the event was there already. */
  putAlarm(event: AlarmEvent): boolean;
  /**
   * The newest by arrival and the newest by their own time, in order of arrival: thousands of an agent that was away do not bury what has just
   * happened, nor does an agent whose clock is ahead.
   */
  alarms(limit: number): AlarmEvent[];
  /** The first event that is kept of an alarm, null for none. */
  alarm(alarmId: string): AlarmEvent | null;
  putDecision(decision: Pick<JournalledDecision, 'agent' | 'command'>): void;
  /** False where it is not there, not that agent's, or answered already. */
  answerDecision(agent: string, receipt: CommandReceipt): boolean;
  decision(commandId: string): JournalledDecision | null;
  /** The newest, oldest first. */
  decisions(limit: number): JournalledDecision[];
  /** Those of an agent that have no answer, oldest first. */
  waitingDecisions(agent: string): JournalledDecision[];
  waitingDecisionCount(agent: string): number;
  /** When the newest decision was made, 0 before the first. */
  lastDecidedAtMs(): number;
  modelHash(modelVersion: string): string | null;
  model(modelVersion: string): { readonly view: ModelView; readonly manifest: Manifest } | null;
  /** The newest, newest first. */
  models(limit: number): ModelView[];
  /** JSON of what became of every model, see registry/course.ts; null before the first. */
  registry(): string | null;
  putRegistry(json: string): void;
  /** How far the messages of agents have come, see core/wire/replay.ts. */
  floors(): Floors;
  putFloors(floors: ReadonlyMap<string, Floor>): void;
  /** Where the server's own messages go on, null before the first. */
  nextSequence(): number | null;
  putNextSequence(next: number): void;
}

export type UpdateKind = 'fit' | 'evaluate';

export interface StoredUpdate {
  readonly agent: string;
  readonly update: Pick<Update, 'baseHash' | 'codec' | 'layerMask' | 'delta' | 'rows'>;
}

export interface JournalledRejection {
  readonly agent: string;
  /** Null, as the attempt, where it cannot be read. */
  readonly round: number | null;
  readonly attempt: number | null;
  readonly verdict: string;
  readonly detail: string;
  readonly atMs: number;
}

export interface JournalledDecision {
  readonly agent: string;
  readonly command: AlarmCommand | LabelCommand;
  readonly answer: CommandReceipt | null;
}
