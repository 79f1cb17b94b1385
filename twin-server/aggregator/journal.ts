import { TwinwatchError } from '@twinwatch/core/errors';
import { hashOf } from '@twinwatch/core/wire/blobs';
import type { Contributor, ModelView, RoundView } from '@twinwatch/core/wire/http';
import type {
  AlarmCommand,
  AlarmEvent,
  BlobRef,
  Calibration,
  CommandReceipt,
  DataWindow,
  LabelCommand,
  Manifest,
  ScoreHistogram,
  Update,
} from '@twinwatch/core/wire/messages';
import type { Floor, Floors } from '@twinwatch/core/wire/replay';
import Database from 'libsql';
import { type FederationState, restoredState } from './rounds/round-state.js';

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

/**
 * The server's memory: one SQLite file, WAL, synchronous FULL, so that what a transaction wrote is on the disk before
 * anything is done because of it.
 *
 * Table `updates` keeps accepted payloads only until their round is committed; of the rest the verdict remains.
 */
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

/** Enough to look into what happened, not enough to fill a disk; no agent's crowd out those of the others. */
const KEPT_REJECTIONS = 10_000;
const KEPT_REJECTIONS_PER_AGENT = 1_000;
const KEPT_ALARMS = 100_000;
/** Of decisions that were answered; one that waits is never forgotten. */
const KEPT_DECISIONS = 100_000;

/** Beside the floors of others. */
const OWN_SEQUENCE = 'own';

const SCHEMA = `
CREATE TABLE IF NOT EXISTS state (run TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blobs (hash TEXT PRIMARY KEY, size INTEGER NOT NULL, bytes BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS calibrations (run TEXT, agent TEXT, moments TEXT NOT NULL, PRIMARY KEY (run, agent)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS updates (
  run TEXT, round INTEGER, agent TEXT, kind TEXT, attempt INTEGER NOT NULL, base TEXT NOT NULL, codec TEXT NOT NULL, mask TEXT NOT NULL,
  delta BLOB, rows INTEGER NOT NULL, loss REAL NOT NULL, training_ms REAL NOT NULL, scores TEXT NOT NULL, window TEXT,
  PRIMARY KEY (run, round, agent, kind));
CREATE TABLE IF NOT EXISTS rejections (
  id INTEGER PRIMARY KEY, run TEXT, round INTEGER, attempt INTEGER, agent TEXT, verdict TEXT, detail TEXT, at_ms INTEGER);
CREATE INDEX IF NOT EXISTS rejections_by_agent ON rejections (agent);
CREATE TABLE IF NOT EXISTS rounds (run TEXT, round INTEGER, attempt INTEGER, view TEXT NOT NULL, detail TEXT NOT NULL, PRIMARY KEY (run, round, attempt));
CREATE TABLE IF NOT EXISTS alarms (id INTEGER PRIMARY KEY, event_id TEXT UNIQUE, json TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS alarms_by_time ON alarms (json ->> 'atMs');
CREATE TABLE IF NOT EXISTS decisions (
  id INTEGER PRIMARY KEY, command_id TEXT UNIQUE, agent TEXT NOT NULL, at_ms REAL NOT NULL, command TEXT NOT NULL, answer TEXT);
CREATE INDEX IF NOT EXISTS waiting_decisions ON decisions (agent) WHERE answer IS NULL;
CREATE TABLE IF NOT EXISTS registry (id INTEGER PRIMARY KEY CHECK (id = 1), json TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS floors (key TEXT PRIMARY KEY, sequence INTEGER NOT NULL, sent_at_ms REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS models (
  id INTEGER PRIMARY KEY, run TEXT, version TEXT UNIQUE, hash TEXT NOT NULL, view TEXT NOT NULL, manifest TEXT NOT NULL);
`;

/** @throws TwinwatchError JOURNAL_UNREADABLE where the file is damaged, not writable, or open in another server. */
export function openJournal(file: string): Journal {
  const { db, unlock } = open(file);
  const prepared = new Map<string, Database.Statement>();
  const sql = (text: string): Database.Statement => {
    const known = prepared.get(text) ?? db.prepare(text);
    prepared.set(text, known);
    return known;
  };
  const all = <T>(text: string, ...values: unknown[]): T[] => sql(text).all(...values) as T[];
  const one = <T>(text: string, ...values: unknown[]): T | undefined => sql(text).get(...values) as T | undefined;
  const run = (text: string, ...values: unknown[]): number => sql(text).run(...values).changes;
  let depth = 0;

  return {
    transaction(work) {
      if (depth > 0) return work();
      db.exec('BEGIN IMMEDIATE');
      depth++;
      try {
        const result = work();
        db.exec('COMMIT');
        return result;
      } catch (error) {
        // A full disk may have rolled it back already.
        if (db.inTransaction) db.exec('ROLLBACK');
        throw error;
      } finally {
        depth--;
      }
    },
    loadState(of) {
      const row = one<{ json: string }>('SELECT json FROM state WHERE run = ?', of);
      return row === undefined ? null : restoredState(row.json);
    },
    saveState: (of, state) => void run('INSERT OR REPLACE INTO state VALUES (?, ?)', of, JSON.stringify(state)),
    putBlob(bytes) {
      const hash = hashOf(bytes);
      run('INSERT OR IGNORE INTO blobs VALUES (?, ?, ?)', hash, bytes.length, Buffer.from(bytes));
      return { hash, bytes: bytes.length };
    },
    blob(hash) {
      const row = one<{ bytes: Buffer }>('SELECT bytes FROM blobs WHERE hash = ?', hash);
      return row === undefined ? null : new Uint8Array(row.bytes);
    },
    blobSize: (hash) => one<{ size: number }>('SELECT size FROM blobs WHERE hash = ?', hash)?.size ?? null,
    retainBlobs(hashes) {
      const gone = all<{ hash: string }>('SELECT hash FROM blobs').filter(({ hash }) => !hashes.has(hash));
      for (const { hash } of gone) run('DELETE FROM blobs WHERE hash = ?', hash);
      return gone.length;
    },
    putCalibration: (of, agent, moments) =>
      void run('INSERT OR REPLACE INTO calibrations VALUES (?, ?, ?)', of, agent, JSON.stringify(moments)),
    calibrations: (of) =>
      all<{ moments: string }>('SELECT moments FROM calibrations WHERE run = ? ORDER BY agent', of).map(
        ({ moments }) => JSON.parse(moments) as Calibration['moments'],
      ),
    putUpdate: (of, agent, kind, update) =>
      void run(
        'INSERT INTO updates VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
        ...[of, update.round, agent, kind, update.attempt, update.baseHash, update.codec],
        ...[JSON.stringify(update.layerMask), Buffer.from(update.delta)],
        ...[update.rows, update.loss, update.trainingMs, JSON.stringify(update.scores)],
        update.window === undefined ? null : JSON.stringify(update.window),
      ),
    hasUpdate: (of, round, agent, kind) =>
      one('SELECT 1 FROM updates WHERE run = ? AND round = ? AND agent = ? AND kind = ?', of, round, agent, kind) !==
      undefined,
    updates: (of, round) =>
      all<Record<'agent' | 'base' | 'codec' | 'mask', string> & { delta: Buffer; rows: number }>(
        "SELECT agent, base, codec, mask, delta, rows FROM updates WHERE run = ? AND round = ? AND kind = 'fit' AND delta IS NOT NULL ORDER BY agent",
        ...[of, round],
      ).map(({ agent, base, codec, mask, delta, rows }) => ({
        agent,
        update: {
          baseHash: base,
          codec: codec as Update['codec'],
          layerMask: JSON.parse(mask) as Update['layerMask'],
          delta: new Uint8Array(delta),
          rows,
        },
      })),
    histograms: (of, round) =>
      all<{ scores: string }>(
        "SELECT scores FROM updates WHERE run = ? AND round = ? AND kind = 'evaluate' ORDER BY agent",
        ...[of, round],
      ).map(({ scores }) => JSON.parse(scores) as ScoreHistogram),
    dropPayloads: (of, round) =>
      void run('UPDATE updates SET delta = NULL WHERE run = ? AND round <= ? AND delta IS NOT NULL', of, round),
    discardUpdates: (of, round) =>
      void run("DELETE FROM updates WHERE run = ? AND round = ? AND kind = 'fit'", of, round),
    putRejection(of, { round, attempt, agent, verdict, detail, atMs }) {
      run(
        'INSERT INTO rejections VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)',
        of,
        round,
        attempt,
        agent,
        verdict,
        detail,
        atMs,
      );
      run('DELETE FROM rejections WHERE id <= (SELECT max(id) FROM rejections) - ?', KEPT_REJECTIONS);
      run(
        'DELETE FROM rejections WHERE agent = ? AND id <= (SELECT id FROM rejections WHERE agent = ? ORDER BY id DESC LIMIT 1 OFFSET ?)',
        ...[agent, agent, KEPT_REJECTIONS_PER_AGENT],
      );
    },
    rejections: (of, limit) =>
      all<JournalledRejection>(
        'SELECT agent, round, attempt, verdict, detail, at_ms AS atMs FROM rejections WHERE run = ? ORDER BY id DESC LIMIT ?',
        ...[of, limit],
      ).reverse(),
    putRound: (of, attempt, view, detail) =>
      void run(
        'INSERT OR REPLACE INTO rounds VALUES (?, ?, ?, ?, ?)',
        of,
        view.round,
        attempt,
        JSON.stringify(view),
        detail,
      ),
    rounds: (of, limit = -1) =>
      all<{ view: string }>(
        'SELECT view, max(attempt) FROM rounds WHERE run = ? GROUP BY round ORDER BY round DESC LIMIT ?',
        ...[of, limit],
      )
        .reverse()
        .map(({ view }) => JSON.parse(view) as RoundView),
    putAlarm(event) {
      const added = run('INSERT OR IGNORE INTO alarms VALUES (NULL, ?, ?)', event.eventId, JSON.stringify(event)) > 0;
      if (added) run('DELETE FROM alarms WHERE id <= (SELECT max(id) FROM alarms) - ?', KEPT_ALARMS);
      return added;
    },
    alarms: (limit) =>
      all<{ json: string }>(
        `SELECT json FROM alarms WHERE id IN (SELECT id FROM alarms ORDER BY id DESC LIMIT ?)
           OR id IN (SELECT id FROM alarms ORDER BY json ->> 'atMs' DESC LIMIT ?) ORDER BY id`,
        ...[limit, limit],
      ).map(({ json }) => JSON.parse(json) as AlarmEvent),
    alarm(alarmId) {
      // Event ids are `<alarm id>:<transition>`, and ';' comes after ':'.
      const row = one<{ json: string }>(
        'SELECT json FROM alarms WHERE event_id > ? AND event_id < ? ORDER BY id LIMIT 1',
        ...[`${alarmId}:`, `${alarmId};`],
      );
      return row === undefined ? null : (JSON.parse(row.json) as AlarmEvent);
    },
    putDecision({ agent, command }) {
      const { commandId, decidedAtMs } = command;
      run(
        'INSERT INTO decisions VALUES (NULL, ?, ?, ?, ?, NULL)',
        commandId,
        agent,
        decidedAtMs,
        JSON.stringify(command),
      );
      run(
        'DELETE FROM decisions WHERE id <= (SELECT max(id) FROM decisions) - ? AND answer IS NOT NULL',
        KEPT_DECISIONS,
      );
    },
    answerDecision: (agent, receipt) =>
      run(
        'UPDATE decisions SET answer = ? WHERE command_id = ? AND agent = ? AND answer IS NULL',
        ...[JSON.stringify(receipt), receipt.commandId, agent],
      ) > 0,
    decision(commandId) {
      const row = one<DecisionRow>('SELECT agent, command, answer FROM decisions WHERE command_id = ?', commandId);
      return row === undefined ? null : asDecision(row);
    },
    decisions: (limit) =>
      all<DecisionRow>('SELECT agent, command, answer FROM decisions ORDER BY id DESC LIMIT ?', limit)
        .map(asDecision)
        .reverse(),
    waitingDecisions: (agent) =>
      all<DecisionRow>(
        'SELECT agent, command, answer FROM decisions WHERE agent = ? AND answer IS NULL ORDER BY id',
        agent,
      ).map(asDecision),
    waitingDecisionCount: (agent) =>
      one<{ n: number }>('SELECT count(*) AS n FROM decisions WHERE agent = ? AND answer IS NULL', agent)?.n ?? 0,
    lastDecidedAtMs: () => one<{ at: number | null }>('SELECT max(at_ms) AS at FROM decisions')?.at ?? 0,
    putModel: (of, model, manifest) =>
      void run(
        'INSERT INTO models VALUES (NULL, ?, ?, ?, ?, ?)',
        ...[of, model.modelVersion, model.hash, JSON.stringify(model), JSON.stringify(manifest)],
      ),
    latestModel() {
      const row = one<{ view: string }>('SELECT view FROM models ORDER BY id DESC LIMIT 1');
      return row === undefined ? null : (JSON.parse(row.view) as ModelView);
    },
    manifests: (limit) =>
      all<{ manifest: string }>('SELECT manifest FROM models ORDER BY id DESC LIMIT ?', limit).map(
        ({ manifest }) => JSON.parse(manifest) as Manifest,
      ),
    keptManifests(limit) {
      const {
        current = null,
        before = [],
        candidate = null,
        next = null,
      } = JSON.parse(this.registry() ?? '{}') as {
        current?: string | null;
        before?: string[];
        candidate?: { version: string } | null;
        next?: string | null;
      };
      const named = [current, candidate?.version ?? null, next, ...before].flatMap((version) => {
        const found = version === null ? null : this.model(version);
        return found === null ? [] : [found.manifest];
      });
      return [...this.manifests(limit), ...named];
    },
    contributors: (of, round) =>
      all<{ agent: string; rows: number; window: string | null }>(
        "SELECT agent, rows, window FROM updates WHERE run = ? AND round = ? AND kind = 'fit' ORDER BY agent",
        ...[of, round],
      ).map(({ agent, rows, window }) => ({
        agent,
        rows,
        ...(window === null ? {} : { window: JSON.parse(window) as DataWindow }),
      })),
    model(version) {
      const row = one<{ view: string; manifest: string }>(
        'SELECT view, manifest FROM models WHERE version = ?',
        version,
      );
      return row === undefined
        ? null
        : { view: JSON.parse(row.view) as ModelView, manifest: JSON.parse(row.manifest) as Manifest };
    },
    models: (limit) =>
      all<{ view: string }>('SELECT view FROM models ORDER BY id DESC LIMIT ?', limit).map(
        ({ view }) => JSON.parse(view) as ModelView,
      ),
    registry: () => one<{ json: string }>('SELECT json FROM registry')?.json ?? null,
    putRegistry: (json) => void run('INSERT OR REPLACE INTO registry VALUES (1, ?)', json),
    modelHash: (version) => one<{ hash: string }>('SELECT hash FROM models WHERE version = ?', version)?.hash ?? null,
    modelCount: () => one<{ n: number }>('SELECT count(*) AS n FROM models')?.n ?? 0,
    floors: () =>
      Object.fromEntries(
        all<{ key: string } & Floor>(
          'SELECT key, sequence, sent_at_ms AS sentAtMs FROM floors WHERE key <> ?',
          OWN_SEQUENCE,
        ).map(({ key, ...floor }) => [key, floor]),
      ),
    putFloors(floors) {
      this.transaction(() => {
        for (const [key, { sequence, sentAtMs }] of floors)
          run('INSERT OR REPLACE INTO floors VALUES (?, ?, ?)', key, sequence, sentAtMs);
      });
    },
    nextSequence: () =>
      one<{ sequence: number }>('SELECT sequence FROM floors WHERE key = ?', OWN_SEQUENCE)?.sequence ?? null,
    putNextSequence: (next) => void run('INSERT OR REPLACE INTO floors VALUES (?, ?, 0)', OWN_SEQUENCE, next),
    close() {
      db.close();
      unlock();
    },
  };
}

interface DecisionRow {
  readonly agent: string;
  readonly command: string;
  readonly answer: string | null;
}

function asDecision({ agent, command, answer }: DecisionRow): JournalledDecision {
  return {
    agent,
    command: JSON.parse(command) as JournalledDecision['command'],
    answer: answer === null ? null : (JSON.parse(answer) as CommandReceipt),
  };
}

interface OpenJournal {
  readonly db: Database.Database;
  readonly unlock: () => void;
}

function open(file: string): OpenJournal {
  try {
    const unlock = file === ':memory:' ? () => undefined : lock(`${file}.lock`);
    const db = new Database(file);
    db.exec('PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
    db.exec(SCHEMA);
    addMissingColumns(db);
    return { db, unlock };
  } catch (cause) {
    throw new TwinwatchError(
      'JOURNAL_UNREADABLE',
      `The journal ${file} cannot be opened (${cause instanceof Error ? cause.message : String(cause)}); stop the other server that uses this dataDir, or move the file away to start anew`,
      { context: { file }, cause },
    );
  }
}

/** Of a journal that an earlier release has made. New columns stand last, where they would stand in a new table. */
function addMissingColumns(db: Database.Database): void {
  const columns = db.prepare('PRAGMA table_info(updates)').all() as { readonly name: string }[];
  if (!columns.some(({ name }) => name === 'window')) db.exec('ALTER TABLE updates ADD COLUMN window TEXT');
}

/**
 * One server per journal. A lock of its own, held by the operating system and gone with the process; libsql keeps an
 * exclusively locked database locked after close(), as long as a prepared statement has not been collected.
 */
function lock(file: string): () => void {
  const db = new Database(file);
  try {
    db.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    db.close();
    throw error;
  }
  return () => void db.close();
}
