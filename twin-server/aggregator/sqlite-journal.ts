import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import { hashOf } from '@twinwatch/core/wire/blobs';
import type { CommandReceipt } from '@twinwatch/core/wire/commands';
import type { ModelView, RoundView } from '@twinwatch/core/wire/http';
import type { Calibration, DataWindow, Manifest, ScoreHistogram, Update } from '@twinwatch/core/wire/messages';
import type { Floor } from '@twinwatch/core/wire/replay';
import type Database from 'libsql';
import type { Journal, JournalledDecision, JournalledRejection } from './journal.js';
import { openJournalFile } from './journal-file.js';
import { restoredState } from './rounds/round-state.js';

/** Enough to look into what happened, not enough to fill a disk; no agent's crowd out those of the others. */
const KEPT_REJECTIONS = 10_000;
const KEPT_REJECTIONS_PER_AGENT = 1_000;
const KEPT_ALARMS = 100_000;
/** Of decisions that were answered; one that waits is never forgotten. */
const KEPT_DECISIONS = 100_000;

/** Beside the floors of others. */
const OWN_SEQUENCE = 'own';

/**
 * The server's memory: one SQLite file, WAL, synchronous FULL, so that what a transaction wrote is on the disk before
 * anything is done because of it.
 *
 * Table `updates` keeps accepted payloads only until their round is committed; of the rest the verdict remains.
 * @throws TwinwatchError JOURNAL_UNREADABLE where the file is damaged, not writable, or open in another server.
 */
export function openJournal(file: string): Journal {
  const { db, unlock } = openJournalFile(file);
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
