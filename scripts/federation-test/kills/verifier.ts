import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { layers, parameterCount } from '@twinwatch/core/learning/network';
import { decodeLineage, decodeParameters } from '@twinwatch/core/wire/blobs';
import type { RoundView } from '@twinwatch/core/wire/http';
import type { Manifest, ParameterCodec } from '@twinwatch/core/wire/messages';
import { decodeDelta } from '@twinwatch/core/wire/parameter-codec';
import type { FederationState } from '@twinwatch/twin-server/aggregator/rounds/round-state';
import { readSqliteFile } from '@twinwatch/twin-server/aggregator/testing/sqlite-file';
import type { CourseState } from '@twinwatch/twin-server/registry/course';
import type { RecordLine } from './recorded-journal.js';

/**
 * What has to be true of a federation whatever was killed, worked out from the journal, the record beside it and the agents' logs by none of the code
 * that wrote them: every round counts the updates that were accepted, each once, and comes to their mean; what an agent has a receipt for is
 * kept; rounds and model versions only rise. Looks at what is new since the last time; works while the server runs.
 */

type UpdateLine = Extract<RecordLine, { kind: 'update' }>;

interface JournalledUpdate {
  readonly agent: string;
  readonly base: string;
  readonly rows: number;
}

interface LogLine {
  readonly msg?: string;
  readonly round?: number;
  readonly attempt?: number;
  readonly verdict?: string;
  readonly modelVersion?: string;
  /** Of what was refused. */
  readonly code?: string;
  readonly reason?: string;
}

/** So far. */
export interface Verified {
  rounds: number;
  updates: number;
  /** Receipts for accepted updates, by the agents' logs. */
  receipts: number;
  /** Releases that agents took into use. */
  detectors: number;
  /** Releases that were tried beside another one, or waited for that. */
  trials: number;
  /** Messages that were refused as taken before, by everybody's logs. */
  replays: number;
  /** Between a round's parameters and the mean computed anew. */
  largestDifference: number;
}

const TAKEN_BACK: ReadonlySet<string> = new Set(['rolled-back', 'superseded']);
/** Parameters are kept in single precision. */
const ROUNDING = 1e-5;

export class Verifier {
  readonly verified: Verified = {
    rounds: 0,
    updates: 0,
    receipts: 0,
    detectors: 0,
    trials: 0,
    replays: 0,
    largestDifference: 0,
  };
  /** Of what is released, at the last look. */
  newest: Manifest | null = null;
  /** Whether a model is on trial or waits for its turn. */
  isTrying = false;
  readonly #folder: string;
  readonly #agents: readonly string[];
  readonly #offsets = new Map<string, number>();
  readonly #updates = new Map<string, UpdateLine>();
  readonly #globals = new Map<number, Set<string>>();
  readonly #running = new Map<string, { readonly at: number; readonly version: string }>();
  /** Ran on some agents, and were not released. */
  readonly #takenBack = new Set<string>();

  constructor(folder: string, agents: readonly string[]) {
    this.#folder = folder;
    this.#agents = agents;
  }

  /** @returns the state as it is journalled, null before the first. @throws Error naming the first thing that is wrong. */
  verify(): FederationState | null {
    // Before the journal: what they say has happened has to be in it.
    const logs = this.#agents.map((agent) => [agent, [...this.#newLines<LogLine>(`${agent}.log`)]] as const);
    for (const lines of [...logs.map(([, of]) => of), [...this.#newLines<LogLine>('server.log')]])
      for (const line of lines) this.#verifyRefusal(line);
    const db = readSqliteFile(join(this.#folder, 'server', 'server.db'));
    try {
      const { one, all } = db;
      const json = one<{ json: string }>('SELECT json FROM state')?.json;
      if (json === undefined) return null;
      const state = JSON.parse(json) as FederationState;
      this.#takeRecord();
      const closed = all<{ view: string }>(
        'SELECT view FROM rounds WHERE round > ? ORDER BY round, attempt',
        this.verified.rounds,
      ).map(({ view }) => JSON.parse(view) as RoundView);
      for (const view of closed) {
        if (view.phase !== 'committed') continue;
        const { round } = view;
        hold(round === this.verified.rounds + 1, `round ${round} follows on ${this.verified.rounds}`);
        const counted = all<JournalledUpdate>(
          "SELECT agent, base, rows FROM updates WHERE round = ? AND kind = 'fit' ORDER BY agent",
          round,
        );
        this.#verifyMean(state, view, counted);
        this.verified.rounds = round;
        this.verified.updates += counted.length;
      }
      hold(
        state.committed === this.verified.rounds,
        `${state.committed} rounds are committed, ${this.verified.rounds} are closed`,
      );
      const versions = all<{ manifest: string }>('SELECT manifest FROM models ORDER BY id').map(
        ({ manifest }) => JSON.parse(manifest) as Manifest,
      );
      for (const [i, { modelVersion, releasedAtMs, round }] of versions.entries()) {
        const before = versions[i - 1];
        if (before !== undefined)
          hold(
            releasedAtMs > before.releasedAtMs && round >= before.round,
            `${modelVersion} is older than ${before.modelVersion}`,
          );
      }
      this.newest = versions.at(-1) ?? null;
      this.#verifyRegistry(
        one<{ json: string }>('SELECT json FROM registry')?.json ?? null,
        versions.map(({ modelVersion }) => modelVersion),
      );
      const place = new Map(versions.map(({ modelVersion }, i) => [modelVersion, i]));
      for (const [agent, lines] of logs) {
        for (const line of lines) {
          if (line.msg === 'detector in use') this.#verifyDetector(agent, place.get(line.modelVersion ?? ''), line);
          if (line.msg !== 'update accepted') continue;
          const { round, attempt, verdict } = line;
          // A duplicate says that one of this round counts, of whichever attempt.
          const kept = one(
            'SELECT 1 FROM updates WHERE agent = ? AND round = ? AND (attempt = ? OR ?)',
            ...[agent, round, attempt, verdict === 'duplicate' ? 1 : 0],
          );
          hold(
            kept !== undefined,
            `${agent} has a receipt for its update of round ${round}, attempt ${attempt}, and it is lost`,
          );
          this.verified.receipts++;
        }
      }
      return state;
    } finally {
      db.close();
    }
  }

  #verifyMean(
    { lineageHash }: FederationState,
    { round, accepted }: RoundView,
    counted: readonly JournalledUpdate[],
  ): void {
    const blob = (hash: string) => new Uint8Array(readFileSync(join(this.#folder, 'record', 'blobs', hash)));
    const { architecture } = decodeLineage(blob(lineageHash!));
    const slices = layers(architecture);
    const count = parameterCount(architecture);
    const names = counted.map(({ agent }) => agent);
    hold(
      names.join() === [...accepted].sort().join(),
      `round ${round} counts ${accepted}, and ${names} are journalled`,
    );
    hold(new Set(names).size === names.length && names.length > 0, `round ${round} counts ${names}`);
    const baseHash = counted[0]!.base;
    const base = decodeParameters(blob(baseHash), count);
    const sum = new Float64Array(count);
    let rows = 0;
    for (const update of counted) {
      const key = `${round} ${update.agent}`;
      const sent = this.#updates.get(key);
      hold(
        update.base === baseHash && sent?.base === baseHash,
        `round ${round}: ${update.agent} starts from another base`,
      );
      hold(sent.rows === update.rows, `round ${round}: the update of ${update.agent} is not the one that came`);
      const delta = decodeDelta(
        new Uint8Array(Buffer.from(sent.delta, 'base64')),
        slices,
        sent.codec as ParameterCodec,
        null,
      );
      for (let i = 0; i < count; i++) sum[i] = sum[i]! + update.rows * (base[i]! + delta[i]!);
      rows += update.rows;
      this.#updates.delete(key);
    }
    const globals = [...(this.#globals.get(round) ?? [])];
    this.#globals.delete(round);
    hold(globals.length === 1, `round ${round} came to ${globals.length} different parameters`);
    const global = decodeParameters(blob(globals[0]!), count);
    const difference = Math.max(...Array.from(global, (value, i) => Math.abs(value - sum[i]! / rows)));
    hold(difference < ROUNDING, `round ${round} is ${difference} off the mean of ${names}`);
    this.verified.largestDifference = Math.max(this.verified.largestDifference, difference);
  }

  /** A release that was journalled and not offered yet is offered at the next start. */
  #verifyRegistry(json: string | null, versions: readonly string[]): void {
    if (json === null) return;
    const { current, candidate, next, records } = JSON.parse(json) as CourseState;
    const known = Object.keys(records);
    const ofCourse = versions.filter((version) => records[version] !== undefined);
    hold(known.join() === ofCourse.join(), `the registry knows ${known}, and ${versions} are released`);
    hold(
      versions.slice(ofCourse.length).length <= 1 && versions.slice(0, ofCourse.length).join() === ofCourse.join(),
      `the registry has passed over some of ${versions}: it knows ${known}`,
    );
    const stageOf = (stage: string) => known.filter((version) => records[version]?.stage === stage);
    hold(
      stageOf('released').join() === `${current}`,
      `${stageOf('released')} count as released, current is ${current}`,
    );
    hold(
      [...stageOf('shadow'), ...stageOf('canary')].join() === (candidate?.version ?? ''),
      `on trial are ${stageOf('shadow')} ${stageOf('canary')}, the candidate is ${candidate?.version}`,
    );
    hold(stageOf('waiting').join() === (next ?? ''), `${stageOf('waiting')} wait, the next is ${next}`);
    this.isTrying = candidate !== null || next !== null;
    const takenBack = known.filter((version) => TAKEN_BACK.has(records[version]!.stage));
    for (const version of takenBack) this.#takenBack.add(version);
    this.verified.trials = Math.max(this.verified.trials, known.length - 1);
  }

  /** Of those who sign, nothing may be refused but what was taken before. */
  #verifyRefusal({ msg, code, reason }: LogLine): void {
    if (code === 'WIRE_REPLAYED') this.verified.replays++;
    else hold(msg !== 'refused' || code?.startsWith('WIRE_') !== true, `a message was refused: ${code}, ${reason}`);
  }

  #verifyDetector(agent: string, at: number | undefined, { modelVersion: version = '' }: LogLine): void {
    hold(at !== undefined, `${agent} runs ${version}, which the registry does not know`);
    const before = this.#running.get(agent);
    const isBack = before !== undefined && at <= before.at && !this.#takenBack.has(before.version);
    hold(!isBack, `${agent} goes from ${before?.version} back to ${version}`);
    this.#running.set(agent, { at, version });
    this.verified.detectors++;
  }

  #takeRecord(): void {
    for (const line of this.#newLines<RecordLine>(join('record', 'record.jsonl'))) {
      if (line.kind === 'update') {
        if (line.of === 'fit') this.#updates.set(`${line.round} ${line.agent}`, line);
      } else {
        const known = this.#globals.get(line.round) ?? new Set();
        this.#globals.set(line.round, known.add(line.global));
      }
    }
  }

  /** Whole lines that were added to a file since the last time; what is no JSON is left out. */
  *#newLines<T>(name: string): Iterable<T> {
    const path = join(this.#folder, name);
    if (!existsSync(path)) return;
    const file = openSync(path, 'r');
    const from = this.#offsets.get(name) ?? 0;
    const bytes = Buffer.alloc(fstatSync(file).size - from);
    readSync(file, bytes, 0, bytes.length, from);
    closeSync(file);
    const end = bytes.lastIndexOf('\n') + 1;
    this.#offsets.set(name, from + end);
    for (const line of bytes.subarray(0, end).toString('utf8').split('\n')) {
      if (line.startsWith('{')) yield JSON.parse(line) as T;
    }
  }
}

/** The manifest of the detector that an agent runs, from its store. */
export function agentManifest(folder: string, agent: string): Manifest | null {
  const db = readSqliteFile(join(folder, agent, 'agent.db'));
  try {
    const row = db.one<{ value: Buffer }>("SELECT value FROM state WHERE key = 'manifest'");
    return row === undefined ? null : (JSON.parse(String(row.value)) as Manifest);
  } finally {
    db.close();
  }
}

function hold(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise);
}
