import type { Tag } from '../scada/tag.js';
import type { AlarmEvent } from './alarm-event.js';
import type { AlarmAction, CommandReceipt, LabelCommand } from './commands.js';
import type { DataWindow } from './messages.js';
import type { AgentStatus } from './status.js';
import type { Telemetry } from './telemetry.js';
import type { AgentTraffic } from './traffic.js';

/** What the twin-server tells the page and other tools: GET /api/state, and the same pieces one by one on GET /api/events (server-sent events). */

export interface AgentView {
  readonly id: string;
  readonly status: AgentStatus | null;
  readonly eligibleRows: number;
  readonly lastRound: number | null;
  readonly rejectedUpdates: number;
  /** Null where its updates count. */
  readonly quarantine: QuarantineView | null;
  /** Why it is here and cannot take part, and what to do; absent where it can. */
  readonly unfit?: string;
  readonly lastTelemetry: Telemetry | null;
}

/** An agent that is not asked any more, since when, and the refused updates that led to it. */
export interface QuarantineView {
  readonly sinceMs: number;
  readonly reasons: readonly {
    readonly round: number;
    readonly verdict: string;
    readonly detail: string;
    readonly atMs: number;
  }[];
}

export type RoundPhase = 'twin-fit' | 'collecting' | 'aggregating' | 'committed' | 'failed';

export interface RoundView {
  readonly round: number;
  readonly phase: RoundPhase;
  readonly method: string;
  readonly asked: readonly string[];
  readonly accepted: readonly string[];
  readonly rejected: readonly { readonly agent: string; readonly verdict: string; readonly detail: string }[];
  /** Accepted, and left out of the aggregate by the filter or Krum. Absent, as `remarks`, in rounds of earlier releases. */
  readonly leftOut?: readonly { readonly agent: string; readonly detail: string }[];
  /** What was done otherwise than configured, in words. */
  readonly remarks?: readonly string[];
  /** On the twin's validation episodes. */
  readonly validation: {
    readonly loss: number;
    readonly rocAuc: number;
    /** By which the best round is chosen. */
    readonly prAuc: number;
    /** Share of attacked rows: the PR AUC of a detector that guesses. Absent in rounds of earlier releases. */
    readonly attackShare?: number;
  } | null;
  /** Accepted updates, and parameters, without what carries them. */
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** By agent, payloads as sent, see traffic.ts. Absent in rounds of earlier releases. */
  readonly traffic?: Readonly<Record<string, AgentTraffic>>;
  readonly startedAtMs: number;
  readonly milliseconds: number | null;
}

export interface ModelView {
  readonly modelVersion: string;
  readonly round: number;
  readonly hash: string;
  readonly bytes: number;
  readonly threshold: number;
  readonly rocAuc: number;
  /** When it was exported; agents run it from its release on. */
  readonly releasedAtMs: number;
  /** Absent in models of earlier releases. */
  readonly provenance?: ModelProvenance;
}

export interface Contributor {
  readonly agent: string;
  readonly rows: number;
  /** Source times of the oldest and the newest of these rows, where the agent tells. */
  readonly window?: DataWindow | undefined;
}

/** What a model was made of. */
export interface ModelProvenance {
  readonly method: string;
  /** Agents whose updates are in its last round, with the rows they learned from. */
  readonly contributors: readonly Contributor[];
  readonly lineageHash: string;
  readonly parametersHash: string;
  /** On the twin's validation episodes. */
  readonly prAuc: number;
  /** Of these episodes' rows: the PR AUC of a detector that guesses. Absent in models of earlier releases. */
  readonly attackShare?: number;
  readonly loss: number;
  readonly allowedFalseRate: number;
  /** Largest difference of two scores between onnxruntime and our own forward pass. */
  readonly onnxDifference: number;
}

/**
 * refused: by a gate or in the shadow; waiting: for the end of another one's trial; shadow, canary: on its way; released: all agents run it; replaced: by a newer one; rolled-back: it was
 * taken back; superseded: a newer one came before its trial, or one that waits while its own comes to no end.
 */
export type ModelStage =
  | 'refused'
  | 'waiting'
  | 'shadow'
  | 'canary'
  | 'released'
  | 'replaced'
  | 'rolled-back'
  | 'superseded';

export interface GateView {
  readonly gate: string;
  readonly passed: boolean;
  readonly detail: string;
}

export interface RegisteredModel extends ModelView {
  readonly stage: ModelStage;
  readonly reason: string;
  readonly sinceMs: number;
  readonly gates: readonly GateView[];
}

/** The model that some agents try. */
export interface CandidateView {
  readonly modelVersion: string;
  readonly stage: 'shadow' | 'canary';
  readonly sinceMs: number;
  readonly agents: readonly string[];
  /** Agents that have told what it makes of their rows. */
  readonly told: number;
  readonly rows: number;
  /** Share of these rows above its threshold, above that of the current one, and what is allowed. */
  readonly falseRate: number;
  readonly currentFalseRate: number;
  readonly bound: number;
  readonly reason: string;
}

export interface RegistryView {
  /** Version that agents are told to run, null before the first. */
  readonly current: string | null;
  readonly candidate: CandidateView | null;
  /** Newest first. */
  readonly models: readonly RegisteredModel[];
}

/** Body of POST /api/models/<version>/release and of POST /api/models/rollback. Both are answered with RegistryView. */
export interface ModelDecisionRequest {
  readonly by: string;
  /** For a rollback: to which one; the one before where absent. */
  readonly version?: string | undefined;
  readonly reason?: string | undefined;
}

export function releaseModelPath(modelVersion: string): string {
  return `/api/models/${encodeURIComponent(modelVersion)}/release`;
}

export const ROLLBACK_PATH = '/api/models/rollback';
export const REGISTRY_PATH = '/api/models';

/** Where the ONNX file of a released model is downloaded from, as an attachment. */
export function onnxPath(modelVersion: string): string {
  return `/api/models/${encodeURIComponent(modelVersion)}.onnx`;
}

/** Something a person decided, and what became of it. */
export interface DecisionView {
  readonly commandId: string;
  readonly agent: string;
  readonly action: AlarmAction | 'label';
  /** Null for a labelled range. */
  readonly alarmId: string | null;
  /** Null for a decision about an alarm. */
  readonly range: Pick<LabelCommand, 'fromMs' | 'toMs' | 'label'> | null;
  /** For shelve: how long, in the plant's time. */
  readonly shelveMs: number | null;
  readonly by: string;
  readonly atMs: number;
  /** Null until the agent has answered: it is kept here and sent again. */
  readonly answer: Pick<CommandReceipt, 'verdict' | 'detail' | 'rows'> | null;
}

/** Body of POST /api/alarms/<alarm id>/<AlarmAction>. */
export interface AlarmDecisionRequest {
  /** Who decides. */
  readonly by: string;
  /** Chosen by who asks, so that asking again is the same decision; the server chooses one where it is absent. */
  readonly commandId?: string | undefined;
  /** For shelve, and then needed. */
  readonly shelveMs?: number | undefined;
}

/** Body of POST /api/agents/<id>/labels. */
export interface LabelRequest extends Pick<LabelCommand, 'fromMs' | 'toMs' | 'label'> {
  readonly by: string;
  readonly commandId?: string | undefined;
}

/**
 * What every request that changes something carries, beside content type application/json: a page of another site cannot send
 * it without being asked first, and is refused then.
 */
export const CHANGE_HEADER = { name: 'x-twinwatch', value: '1' } as const;

export const LOGIN_PATH = '/api/login';
export const LOGOUT_PATH = '/api/logout';
export const SESSION_PATH = '/api/session';

/** Body of POST /api/login, which is answered with a SessionView and a cookie. */
export interface LoginRequest {
  readonly name: string;
  readonly password: string;
}

/** GET /api/session. */
export interface SessionView {
  /** Whether the server has operators; where not, anybody may do anything. */
  readonly isRequired: boolean;
  /** Null where nobody is logged in. */
  readonly operator: { readonly name: string; readonly role: 'viewer' | 'operator' } | null;
}

/** Where a decision about an alarm is posted. */
export function alarmActionPath(alarmId: string, action: AlarmAction): string {
  return `/api/alarms/${encodeURIComponent(alarmId)}/${action}`;
}

/** Where labelled ranges of an agent are posted. */
export function labelsPath(agent: string): string {
  return `/api/agents/${encodeURIComponent(agent)}/labels`;
}

/** Body of POST /api/agents/<id>/quarantine/lift, which is answered with the agent's view. */
export interface LiftRequest {
  /** Who decides. */
  readonly by: string;
}

/** Where an agent's quarantine is lifted. */
export function liftQuarantinePath(agent: string): string {
  return `/api/agents/${encodeURIComponent(agent)}/quarantine/lift`;
}

/** Where one decision, with its answer once it is there, is read. */
export function decisionPath(commandId: string): string {
  return `/api/decisions/${encodeURIComponent(commandId)}`;
}

export type ServerPhase = 'simulating-twin' | 'waiting-for-agents' | 'calibrating' | 'rounds' | 'finished';

/** Messages that the server refused since it was started. */
export interface RefusedMessages {
  /** Agent in whose name they came. */
  readonly sender: string;
  readonly count: number;
  /** Error code → how many. */
  readonly byCode: Readonly<Record<string, number>>;
  readonly last: { readonly code: string; readonly detail: string; readonly atMs: number };
}

/** A certificate or key of the federation that ends at a time. */
export interface CertificateView {
  /** `authority`, `broker`, `server`, `page`, `signing key`, or an agent's id. */
  readonly holder: string;
  readonly isAgent: boolean;
  /** Null where the file that says so is damaged: its holder is not believed. */
  readonly notAfterMs: number | null;
}

export interface ServerState {
  readonly federation: string;
  readonly phase: ServerPhase;
  /** In words, for a person: what is waited for or going on. */
  readonly activity: string;
  /** 0..1 of the current phase where it is known. */
  readonly progress: number | null;
  readonly roundsPlanned: number;
  /** Of the detector's schema: units and kinds for the page. Absent until they are known. */
  readonly tags?: readonly Tag[];
  readonly agents: readonly AgentView[];
  readonly rounds: readonly RoundView[];
  readonly model: ModelView | null;
  readonly registry: RegistryView | null;
  readonly alarms: readonly AlarmEvent[];
  /** Those of most messages first. */
  readonly refusedMessages: readonly RefusedMessages[];
  /** The newest, oldest first. */
  readonly decisions: readonly DecisionView[];
  /** Those that count now, as the server sees them. Absent from servers of earlier releases. */
  readonly certificates?: readonly CertificateView[];
}

/** Rows of an agent's telemetry that server and page keep: as many as a chart shows. */
export const HISTORY_ROWS = 240;

/** The last telemetry of one agent in columns of one length, oldest first; of no length where the server has just started. */
export interface AgentHistory {
  readonly atMs: readonly number[];
  /** Null where the detector abstained. */
  readonly score: readonly (number | null)[];
  /** Tag → null where it was not good. Absent where scores alone are told. */
  readonly values?: Readonly<Record<string, readonly (number | null)[]>>;
}

/** By agent. */
export type HistoryView = Readonly<Record<string, AgentHistory>>;

/** Where the history of an agent is read, with its tags: an AgentHistory. */
export function historyPath(agent: string): string {
  return `/api/agents/${encodeURIComponent(agent)}/history`;
}

/** SSE `event:` names and what their `data:` holds. Every stream starts with one `state` and one `history`, of scores alone. */
export interface ServerEvents {
  readonly state: ServerState;
  readonly history: HistoryView;
  readonly phase: Pick<ServerState, 'phase' | 'activity' | 'progress'>;
  readonly agent: AgentView;
  readonly telemetry: { readonly agent: string; readonly telemetry: Telemetry };
  readonly round: RoundView;
  readonly model: ModelView;
  readonly registry: RegistryView;
  readonly refused: readonly RefusedMessages[];
  readonly certificates: readonly CertificateView[];
  readonly alarm: AlarmEvent;
  readonly decision: DecisionView;
}
