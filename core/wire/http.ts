import type { Tag } from '../scada/tag.js';
import type { AgentStatus, AlarmEvent, Telemetry } from './messages.js';

/** What the twin-server tells the page and other tools: GET /api/state, and the same pieces one by one on GET /api/events (server-sent events). */

export interface AgentView {
  readonly id: string;
  readonly status: AgentStatus | null;
  readonly eligibleRows: number;
  readonly lastRound: number | null;
  readonly rejectedUpdates: number;
  readonly lastTelemetry: Telemetry | null;
}

export type RoundPhase = 'twin-fit' | 'collecting' | 'aggregating' | 'committed' | 'failed';

export interface RoundView {
  readonly round: number;
  readonly phase: RoundPhase;
  readonly method: string;
  readonly asked: readonly string[];
  readonly accepted: readonly string[];
  readonly rejected: readonly { readonly agent: string; readonly verdict: string; readonly detail: string }[];
  /** On the twin's validation episodes. */
  readonly validation: { readonly loss: number; readonly rocAuc: number; readonly prAuc: number } | null;
  readonly bytesUp: number;
  readonly bytesDown: number;
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
  readonly releasedAtMs: number;
}

/** Where the ONNX file of a released model is downloaded from, as an attachment. */
export function onnxPath(modelVersion: string): string {
  return `/api/models/${encodeURIComponent(modelVersion)}.onnx`;
}

export type ServerPhase = 'simulating-twin' | 'waiting-for-agents' | 'calibrating' | 'rounds' | 'finished';

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
  readonly alarms: readonly AlarmEvent[];
}

/** SSE `event:` names and what their `data:` holds. Every stream starts with one `state`. */
export interface ServerEvents {
  readonly state: ServerState;
  readonly phase: Pick<ServerState, 'phase' | 'activity' | 'progress'>;
  readonly agent: AgentView;
  readonly telemetry: { readonly agent: string; readonly telemetry: Telemetry };
  readonly round: RoundView;
  readonly model: ModelView;
  readonly alarm: AlarmEvent;
}
