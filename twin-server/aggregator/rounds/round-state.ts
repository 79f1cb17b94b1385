import type { RoundsConfig } from '@twinwatch/core/config/server';
import type { AnsweredTask } from '@twinwatch/core/wire/envelope';
import type { ParameterCodec, UpdateVerdict } from '@twinwatch/core/wire/messages';
import type { AgentTraffic } from '@twinwatch/core/wire/traffic';
import type { LeftOut } from '../aggregation.js';
import type { MethodConfig } from '../strategies/strategy.js';
import { type AcceptedNorms, NO_NORMS } from './defence.js';

/** What the federation knows of itself between two steps. Journalled whole, as JSON, before a step is acted on. */
export interface FederationState {
  readonly agents: Readonly<Record<string, AgentState>>;
  /** Hash of the lineage's blob; null until it is frozen, while the calibrate step is going on. */
  readonly lineageHash: string | null;
  readonly freezing: boolean;
  /** Hashes of the blobs of Θ and Θ_tw. */
  readonly globalHash: string | null;
  readonly twinHash: string | null;
  /** What the server optimiser remembers: a checkpoint is of it and the parameters together. Null without one, and before its first step. */
  readonly optimizer: OptimizerState | null;
  /** What clients are taught by, once it is trained; null before, and for methods without one. */
  readonly teacher: TeacherState | null;
  readonly acceptedNorms: AcceptedNorms;
  /** Rounds committed so far. */
  readonly committed: number;
  readonly current: CurrentRound | null;
  readonly release: CurrentRelease | null;
  readonly best: Candidate | null;
  readonly released: { readonly parametersHash: string; readonly modelVersion: string } | null;
  /** Why the last try to release failed; null after one that did not. */
  readonly releaseFailure: string | null;
}

export interface OptimizerState {
  /** Of another kind of optimiser, momenta are worth nothing. */
  readonly type: RoundsConfig['serverOptimizer']['type'];
  /** Of the blob of its momenta. */
  readonly hash: string;
}

export interface TeacherState {
  /** Of the blob that agents fetch: parameters, encoded. */
  readonly hash: string;
  readonly bytes: number;
  readonly codec: ParameterCodec;
}

export interface AgentState {
  readonly online: boolean;
  readonly connectionId: string | null;
  /** Has said hello with every tag of the schema. */
  readonly compatible: boolean;
  /** Why not, in words. */
  readonly detail: string;
  readonly eligibleRows: number;
  /** As what it can encode an update, by its hello; absent before one, and in states of earlier releases. */
  readonly codecs?: readonly string[];
  readonly calibrated: boolean;
  readonly lastRound: number | null;
  readonly rejectedUpdates: number;
  /** Hash of the last teacher that it was told to fetch. */
  readonly taughtBy?: string;
  /** Refused updates that were not made up for, oldest first; of one in quarantine, what led to it. */
  readonly strikes: readonly Strike[];
  /** Since when it is in quarantine: not asked, and nothing of it counts. Null where it is not. */
  readonly quarantinedAtMs: number | null;
}

export interface Strike extends Omit<Rejection, 'agent'> {
  readonly round: number;
  readonly atMs: number;
}

export type RoundStep = 'waiting' | 'twin-fit' | 'collecting' | 'aggregating' | 'validating';

export interface CurrentRound {
  readonly round: number;
  /** Rises when a round has to be tried again; updates accepted in an earlier attempt from the same base still count. */
  readonly attempt: number;
  readonly step: RoundStep;
  /** While waiting: not before the deadline passes, so that a step that fails at once does not run hot. */
  readonly pausing: boolean;
  /** What was sent down in this round. */
  readonly baseHash: string | null;
  /** What the round began from: a step of the server's own that goes wrong has changed nothing. Null before its first attempt. */
  readonly before: RoundAnchor | null;
  readonly asked: readonly string[];
  readonly accepted: readonly { readonly agent: string; readonly rows: number }[];
  /** The newest, of every attempt; the journal keeps more. */
  readonly rejected: readonly Rejection[];
  /** Of those asked, whose answer to this attempt was refused: it is not waited for any more. */
  readonly refused: readonly string[];
  /** Once aggregated: whose accepted update the filter or Krum left out, and what was done otherwise than configured. */
  readonly leftOut: readonly LeftOut[];
  readonly remarks: readonly string[];
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** By agent, payloads as sent. */
  readonly traffic: Readonly<Record<string, AgentTraffic>>;
  readonly startedAtMs: number;
}

/** What rounds change, each of them. */
export type RoundAnchor = Pick<FederationState, 'globalHash' | 'twinHash' | 'optimizer' | 'teacher'>;

export interface Rejection {
  readonly agent: string;
  readonly attempt: number;
  readonly verdict: UpdateVerdict;
  readonly detail: string;
}

export interface CurrentRelease {
  readonly round: number;
  /** Goes on from the round's attempts, so that (round, attempt) names one task only. */
  readonly attempt: number;
  readonly step: 'evaluating' | 'releasing';
  readonly candidate: Candidate;
  readonly asked: readonly string[];
  readonly answered: readonly string[];
  /** Of those asked, whose answer was refused: it is not waited for any more. */
  readonly refused: readonly string[];
}

export interface Candidate {
  readonly round: number;
  readonly parametersHash: string;
  readonly validation: Validation;
}

/** On the twin's validation episodes. */
export interface Validation {
  readonly loss: number;
  readonly rocAuc: number;
  readonly prAuc: number;
  /** Of the rows, which is the PR AUC of a detector that guesses. Absent in rounds of earlier releases. */
  readonly attackShare?: number;
}

export type MachineConfig = Pick<
  RoundsConfig,
  | 'method'
  | 'count'
  | 'quorum'
  | 'fraction'
  | 'minimumRows'
  | 'deadline'
  | 'releaseEvery'
  | 'defence'
  | 'epochs'
  | 'batchSize'
  | 'learningRate'
  | 'exchangeShare'
> &
  MethodConfig & {
    readonly seed: number;
    /** Of one network of the model. */
    readonly layerCount: number;
    /** Size of the parameters' blob, for the count of bytes sent down. */
    readonly parameterBytes: number;
  };

/** What an update says of itself, and what update-check.ts found in it; null where its content was not looked at. */
export interface UpdateFacts {
  readonly agent: string;
  readonly round: number;
  readonly attempt: number;
  readonly kind: 'fit' | 'evaluate';
  readonly baseHash: string;
  readonly rows: number;
  readonly bytes: number;
}

export type FederationEvent =
  | { readonly type: 'resumed' }
  | { readonly type: 'status'; readonly agent: string; readonly online: boolean; readonly connectionId: string }
  | {
      readonly type: 'hello';
      readonly agent: string;
      readonly compatible: boolean;
      readonly detail: string;
      readonly eligibleRows: number;
      readonly codecs: readonly string[];
    }
  | { readonly type: 'calibration'; readonly agent: string }
  | { readonly type: 'calibration-deadline' }
  | {
      readonly type: 'lineage-frozen';
      readonly lineageHash: string;
      readonly globalHash: string;
      readonly twinHash: string;
    }
  | { readonly type: 'twin-fitted'; readonly twinHash: string; readonly teacher?: TeacherState | null }
  | {
      readonly type: 'update';
      readonly update: UpdateFacts;
      readonly verdict: UpdateVerdict;
      readonly detail: string;
      /** Euclidean norm of the update; null of an evaluation, and of what cannot be read. */
      readonly norm: number | null;
    }
  /** Bytes in place of an update that are none; `task` is what they say they answer, null where that cannot be read. */
  | {
      readonly type: 'malformed-update';
      readonly agent: string;
      readonly task: AnsweredTask | null;
      readonly detail: string;
    }
  | { readonly type: 'deadline'; readonly round: number; readonly attempt: number }
  | ({ readonly type: 'aggregated' } & Aggregated)
  | { readonly type: 'validated'; readonly validation: Validation }
  | { readonly type: 'released'; readonly parametersHash: string; readonly modelVersion: string }
  /** People have said what rows were: parameters are learned from something else than before. */
  | { readonly type: 'labels-changed' }
  /** An operator trusts an agent again. */
  | { readonly type: 'quarantine-lifted'; readonly agent: string }
  | { readonly type: 'step-failed'; readonly detail: string };

/** The parameters after a round, and what else came of it. */
export interface Aggregated extends Pick<CurrentRound, 'leftOut' | 'remarks'>, Pick<FederationState, 'optimizer'> {
  readonly globalHash: string;
  readonly twinHash: string;
}

export interface TwinFit {
  readonly type: 'fit-twin';
  readonly from: 'twin' | 'global';
  readonly epochs: number;
  /** The result is the clients' teacher, too. */
  readonly isTeacher: boolean;
}

/** Steps that take a while and end with an event of their own, or with step-failed. */
export type WorkEffect =
  | { readonly type: 'freeze-lineage' }
  | TwinFit
  | { readonly type: 'aggregate' }
  | { readonly type: 'validate' }
  | { readonly type: 'release' };

export type Effect =
  | WorkEffect
  | { readonly type: 'send-calibrate'; readonly agent: string }
  | { readonly type: 'arm-calibration-deadline'; readonly ms: number }
  | { readonly type: 'send-fit'; readonly agents: readonly string[] }
  | { readonly type: 'send-evaluate'; readonly agents: readonly string[] }
  | { readonly type: 'arm-deadline'; readonly round: number; readonly attempt: number; readonly ms: number }
  | {
      readonly type: 'receipt';
      readonly agent: string;
      readonly round: number;
      readonly attempt: number;
      readonly verdict: UpdateVerdict;
      readonly detail: string;
    };

export const INITIAL_STATE: FederationState = {
  agents: {},
  lineageHash: null,
  freezing: false,
  globalHash: null,
  twinHash: null,
  optimizer: null,
  teacher: null,
  acceptedNorms: NO_NORMS,
  committed: 0,
  current: null,
  release: null,
  best: null,
  released: null,
  releaseFailure: null,
};

/** A state as it was journalled; one of an earlier release lacks what came since. */
export function restoredState(json: string): FederationState {
  const { agents, current, release, optimizer, teacher, acceptedNorms, ...rest } = JSON.parse(json) as FederationState;
  return {
    ...rest,
    agents: Object.fromEntries(Object.entries(agents).map(([id, agent]) => [id, { ...UNSUSPECTED, ...agent }])),
    optimizer: optimizer ?? null,
    teacher: teacher ?? null,
    acceptedNorms: acceptedNorms ?? NO_NORMS,
    current: current && {
      ...NONE_REFUSED,
      ...NOTHING_LEFT_OUT,
      ...NO_ANCHOR,
      ...current,
      traffic: current.traffic ?? {},
    },
    release: release && { ...NONE_REFUSED, ...release },
  };
}

/** Of an agent of which nothing was refused. */
export const UNSUSPECTED = { strikes: [], quarantinedAtMs: null } as const;
const NONE_REFUSED = { refused: [] } as const;
const NO_ANCHOR = { before: null } as const;
const NOTHING_LEFT_OUT = { leftOut: [], remarks: [] } as const;
