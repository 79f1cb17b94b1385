import type { ProfileRequest, SiteProfile } from '../calibration/profile.js';
import type { FeatureSchema } from '../features/spec.js';
import type { Architecture } from '../learning/engine.js';
import type { PublicKeyEntry } from '../security/keys.js';
import type { AlarmCommand, CommandReceipt, LabelCommand } from './commands.js';
import type { ProtocolRange } from './protocol.js';

/**
 * What agents and server say to each other. CBOR inside an Envelope; status, alarms and telemetry, which are JSON, are in files of their own.
 * Binary things (parameters, ONNX files, the twin's exchange rows) are blobs, named by the SHA-256 of their bytes,
 * so that whoever has one never fetches it again.
 */

/** Hex SHA-256 of the blob's bytes, and its size: all that is needed to ask for it and to know it arrived whole. */
export interface BlobRef {
  readonly hash: string;
  readonly bytes: number;
}

/** See parameter-codec.ts. Every agent and server has f32. */
export type ParameterCodec = 'f32' | 'f16' | 'int8' | 'topk-f16' | 'topk-int8';

/** Frozen for as long as parameters are averaged with each other: a change of any field starts a new lineage. */
export interface Lineage {
  readonly schema: FeatureSchema;
  readonly schemaHash: string;
  /** [inputs] each; scaled = clamp((x − mean) / scale, ±clip). */
  readonly scaler: { readonly mean: number[]; readonly scale: number[]; readonly clip: number };
  readonly architecture: Architecture;
  /** Labelled twin rows that agents mix into their own, or null where none are sent. */
  readonly exchange: BlobRef | null;
}

/** agent → server: who I am and what I have. Sent on every connection and whenever a field changes. */
export interface Hello {
  readonly kind: 'hello';
  readonly softwareVersion: string;
  readonly tags: readonly string[];
  /** Rows that may be trained on now, and of them those with a label from a person. */
  readonly eligibleRows: number;
  readonly labelledRows: number;
  /** Those that it can encode an update as; names that a server does not know are of a later release. */
  readonly codecs: readonly string[];
  readonly engine: string;
  /** Blobs of lineage and model held now, null before the first. */
  readonly lineageHash: string | null;
  readonly modelVersion: string | null;
  readonly publicKeyId: string | null;
  /** Of the server's keys that it believes, see TrustAnnouncement; absent where nothing is signed. */
  readonly trustRevision?: number | undefined;
  /** See protocol.ts; absent from older agents. */
  readonly protocols?: ProtocolRange;
}

/** agent → server, the answer to a calibrate task: moments of every feature over the agent's eligible rows. */
export interface Calibration {
  readonly kind: 'calibration';
  readonly schemaHash: string;
  readonly moments: { readonly count: number; readonly mean: number[]; readonly m2: number[] };
  /** Where the task asked for it. */
  readonly profile?: SiteProfile | undefined;
}

export interface CalibrateTask {
  readonly kind: 'calibrate';
  readonly schema: FeatureSchema;
  readonly schemaHash: string;
  /** The agent answers once it has this many eligible rows. */
  readonly minimumRows: number;
  /** What the answer should tell besides moments: how the site runs over day and week. */
  readonly profile?: ProfileRequest | undefined;
}

export interface FitTask {
  readonly kind: 'fit';
  readonly round: number;
  readonly attempt: number;
  readonly method: string;
  readonly lineage: BlobRef;
  /** Starting parameters, f32. */
  readonly parameters: BlobRef;
  /** Their bytes, where they are few (inline-parameters.ts); else they are pushed on the down topic right after the task. */
  readonly inline?: Uint8Array | undefined;
  readonly epochs: number;
  readonly batchSize: number;
  readonly learningRate: number;
  /** FedProx's mu, 0 for none. */
  readonly proximalMu: number;
  /** Share of twin exchange rows in each epoch relative to the agent's own rows, 0 for none. */
  readonly exchangeShare: number;
  readonly codec: ParameterCodec;
  /** Share of the parameters to send; with a top-k codec only. */
  readonly topKShare?: number | undefined;
  /** Layers to send back, lowest first; every layer where null. */
  readonly layerMask: readonly boolean[] | null;
  /** Absent where the method has no teacher. */
  readonly distillation?: TeacherTask | undefined;
  readonly seed: number;
  /** Milliseconds from receipt after which the update is of no use. */
  readonly deadlineMs: number;
}

/** What to learn from, beside labels; see core/learning/distillation.ts. */
export interface TeacherTask {
  /** Parameters encoded as `codec`, see parameter-codec.ts. Not pushed: the same for many rounds, and kept. */
  readonly teacher: BlobRef;
  readonly codec: ParameterCodec;
  readonly alpha: number;
  readonly temperature: number;
  /** stored: the teacher scores all rows once per fit; onTheFly: batch by batch, which takes less memory and more time. */
  readonly softLabels: 'stored' | 'onTheFly';
  /** Rows that nobody labelled: soft: learned from the teacher alone; normal: labelled so. */
  readonly unlabelled: 'soft' | 'normal';
}

/** Counts of scores on held-back normal rows: bin i holds scores in [i/bins, (i+1)/bins). */
export interface ScoreHistogram {
  readonly counts: number[];
  readonly rows: number;
}

/** agent → server: score these parameters on your held-back rows; nothing is trained. */
export interface EvaluateTask {
  readonly kind: 'evaluate';
  readonly round: number;
  readonly attempt: number;
  readonly lineage: BlobRef;
  readonly parameters: BlobRef;
  /** As in a FitTask. */
  readonly inline?: Uint8Array | undefined;
  readonly deadlineMs: number;
}

/** Source times of the oldest and the newest row. */
export interface DataWindow {
  readonly fromMs: number;
  readonly toMs: number;
}

/** agent → server, sent again until its receipt arrives. */
export interface Update {
  readonly kind: 'update';
  readonly round: number;
  readonly attempt: number;
  /** Hash of the parameters that were sent down. */
  readonly baseHash: string;
  readonly codec: ParameterCodec;
  readonly layerMask: readonly boolean[] | null;
  /** Encoded difference to the base parameters, see parameter-codec.ts; empty for an evaluation. */
  readonly delta: Uint8Array;
  readonly rows: number;
  /** Source times of the oldest and the newest row that was learned from; absent where that is not told, as by earlier releases. */
  readonly window?: DataWindow | undefined;
  readonly loss: number;
  readonly trainingMs: number;
  /** Of an evaluation: scores of the base parameters on the agent's held-back normal rows. Null of a fit. */
  readonly scores: ScoreHistogram | null;
}

export type UpdateVerdict =
  | 'accepted'
  | 'duplicate'
  | 'stale-round'
  | 'unknown-agent'
  | 'wrong-base'
  | 'wrong-shape'
  | 'not-finite'
  | 'too-large'
  | 'implausible-rows'
  | 'malformed'
  /** Nothing of that agent counts until an operator says so. */
  | 'quarantined';

/** Both ways: the other end's thing is journalled here, and may be forgotten there. */
export type Receipt =
  | {
      readonly kind: 'update-receipt';
      readonly round: number;
      readonly attempt: number;
      readonly verdict: UpdateVerdict;
      readonly detail: string;
    }
  | { readonly kind: 'alarm-receipt'; readonly eventIds: readonly string[] };

/** agent → server: chunks that did not arrive, or a whole blob. */
export interface BlobRequest {
  readonly kind: 'blob-request';
  readonly blob: BlobRef;
  /** Chunk indices; all where null. */
  readonly missing: readonly number[] | null;
}

/** server → agent: which chunks of an upload to send again. */
export interface ChunkRequest {
  readonly kind: 'chunk-request';
  readonly transfer: string;
  readonly missing: readonly number[];
}

/** server → agents, retained: the detector to run. */
export interface Manifest {
  readonly kind: 'manifest';
  readonly modelVersion: string;
  readonly round: number;
  readonly model: BlobRef;
  readonly lineage: BlobRef;
  readonly threshold: number;
  readonly releasedAtMs: number;
  /** Rises with every manifest, also with one that names the same model again or an older one: agents keep the newest. Absent from releases before there was a registry. */
  readonly issuedAtMs?: number;
  /** An older model than some agents run is meant. */
  readonly rollback?: { readonly from: string; readonly by: string; readonly reason: string };
  readonly candidate?: CandidateModel;
}

/** A model that is not for all agents yet. */
export interface CandidateModel extends Omit<Manifest, 'kind' | 'issuedAtMs' | 'rollback' | 'candidate'> {
  /** shadow: the named agents run it beside the current one; canary: in its place. */
  readonly stage: 'shadow' | 'canary';
  readonly agents: readonly string[];
  /** Of each of them, to be counted on; recent stored ones count in a shadow. */
  readonly rows: number;
}

/** agent → server: what a candidate makes of the agent's own rows. Numbers only. */
export interface ModelReport {
  readonly kind: 'model-report';
  /** The candidate. */
  readonly modelVersion: string;
  /** Rows that both models have scored, those that people labelled anomalous left out. */
  readonly rows: number;
  /** Of these, above the threshold of the candidate, and of the current model. */
  readonly above: number;
  readonly currentAbove: number;
  /** Rows that the candidate could not score. */
  readonly errors: number;
  /** It cannot be loaded, or failed its check: the agent has stayed with the model it had. */
  readonly failed: boolean;
  readonly detail: string;
}

/**
 * server → agent: the server's keys from now on, in place of those that the agent was enrolled with, signed with one of those that it believes.
 * Told to whoever says hello with an older revision, and kept by it.
 */
export interface TrustAnnouncement {
  readonly kind: 'trust';
  /** Rises with every change. */
  readonly revision: number;
  readonly serverKeys: readonly PublicKeyEntry[];
}

export type WireMessage =
  | ModelReport
  | TrustAnnouncement
  | Hello
  | Calibration
  | CalibrateTask
  | FitTask
  | EvaluateTask
  | Update
  | Receipt
  | BlobRequest
  | ChunkRequest
  | Manifest
  | AlarmCommand
  | LabelCommand
  | CommandReceipt;

/** Around every CBOR message. */
export interface Envelope<M extends WireMessage = WireMessage> {
  readonly protocol: number;
  readonly federation: string;
  /** Agent id, or 'server'. */
  readonly sender: string;
  /** Rises with every message of a sender; together with the sender it names the message. */
  readonly sequence: number;
  readonly sentAtMs: number;
  readonly message: M;
  /** [8] of the key that signed it, see signing.ts; absent where nobody did. */
  readonly keyId?: Uint8Array;
  /** [64] Ed25519 over topic and payload; null in a federation that does not sign. */
  readonly signature: Uint8Array | null;
}
