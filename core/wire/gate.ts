import { type ErrorCode, TwinwatchError } from '../errors.js';
import { decodeEnvelope, MAXIMUM_ENVELOPE_BYTES } from './envelope.js';
import type { Envelope, WireMessage } from './messages.js';
import { type ProtocolRange, SPOKEN } from './protocol.js';
import {
  type Floor,
  type Floors,
  floorKey,
  freshness,
  type StatusPlace,
  statusFloorKeys,
  statusFreshness,
} from './replay.js';
import { type Signer, type Verifier, verifyEnvelope, verifyJson } from './signing.js';
import { type Channel, parseTopic } from './topics.js';

/** What comes in: who may have sent it, whether it has been here before, and what was refused. The same on both ends. */

/** Both null in a federation that does not sign. */
export interface Trust {
  readonly signer: Signer | null;
  readonly verifier: Verifier | null;
}

export const UNSIGNED: Trust = { signer: null, verifier: null };

/** What the server calls itself in an envelope. */
export const SERVER = 'server';

/** Where each kind of message belongs. */
const CHANNEL_OF: Readonly<Record<WireMessage['kind'], Channel>> = {
  hello: 'hello',
  calibration: 'hello',
  update: 'up',
  'blob-request': 'request',
  'command-receipt': 'answer',
  'model-report': 'answer',
  calibrate: 'task',
  fit: 'task',
  evaluate: 'task',
  'update-receipt': 'receipt',
  'alarm-receipt': 'receipt',
  'chunk-request': 'receipt',
  'alarm-command': 'command',
  'label-command': 'command',
  trust: 'command',
  manifest: 'manifest',
};

export interface Refusals {
  readonly count: number;
  /** Error code → how many. */
  readonly byCode: Readonly<Record<string, number>>;
  readonly last: { readonly code: ErrorCode | 'UNKNOWN'; readonly detail: string; readonly atMs: number };
}

export interface GateOptions {
  readonly federation: string;
  readonly trust: Trust;
  readonly floors: Floors;
  /** That this end reads; those of this release where absent. */
  readonly protocols?: ProtocolRange;
  /** A floor has risen; to be kept. */
  readonly onFloor: (key: string, floor: Floor) => void;
  /** Something was refused and counted. */
  readonly onRefused?: () => void;
  /** Wall clock. */
  readonly now: () => number;
}

/** Senders that refusals are counted for by name; those of others are counted together, as names can be made up. */
const COUNTED_SENDERS = 1_000;
const OTHERS = '(others)';

export class Gate {
  readonly #options: GateOptions;
  readonly #floors: Map<string, Floor>;
  readonly #refused = new Map<string, Refusals>();

  constructor(options: GateOptions) {
    this.#options = options;
    this.#floors = new Map(Object.entries(options.floors));
  }

  /** By sender, as its topics name it. */
  get refused(): ReadonlyMap<string, Refusals> {
    return this.#refused;
  }

  /** True where what comes in has to be signed: then what cannot be read is nobody's, and must not be held against anyone. */
  get verifies(): boolean {
    return this.#options.trust.verifier !== null;
  }

  /**
   * An envelope's message, if it is from `sender`, for this topic and federation, and new.
   * @param maximumBytes of the payload; an update comes out of a transfer and may be larger than a small message.
   * @throws TwinwatchError WIRE_UNSIGNED, WIRE_KEY_UNKNOWN, WIRE_KEY_REVOKED, WIRE_SIGNATURE_INVALID, WIRE_REPLAYED, WIRE_FOREIGN,
   * WIRE_WRONG_TOPIC, and what decodeEnvelope throws. All are counted.
   */
  open(topic: string, payload: Uint8Array, sender: string, maximumBytes = MAXIMUM_ENVELOPE_BYTES): WireMessage {
    return this.#counted(sender, () => {
      const { verifier } = this.#options.trust;
      const keyId = verifier === null ? null : verifyEnvelope(topic, payload, sender, verifier);
      const envelope = decodeEnvelope(payload, maximumBytes, this.#options.protocols ?? SPOKEN);
      this.#requirePlace(topic, envelope, sender);
      if (keyId !== null) this.#requireNew(topic, envelope, keyId);
      return envelope.message;
    });
  }

  /**
   * What `read` makes of a JSON message that is from `sender` and for this topic. Alarms may come again: they hold their own id.
   * @throws TwinwatchError WIRE_UNSIGNED, WIRE_KEY_UNKNOWN, WIRE_KEY_REVOKED, WIRE_SIGNATURE_INVALID, and what `read` throws. All are counted.
   */
  openJson<T>(topic: string, payload: Uint8Array, sender: string, read: (payload: Uint8Array) => T): T {
    return this.#counted(sender, () => {
      const { verifier } = this.#options.trust;
      if (verifier !== null) verifyJson(topic, payload, sender, verifier);
      return read(payload);
    });
  }

  /**
   * As openJson, for a status, which counts only where none after it was taken. One without a place is of an older release, and counts for as long as
   * its key has signed none with one.
   * @throws what openJson throws, and TwinwatchError WIRE_REPLAYED.
   */
  openStatus<T extends Partial<StatusPlace> & { readonly online: boolean }>(
    topic: string,
    payload: Uint8Array,
    sender: string,
    read: (payload: Uint8Array) => T,
  ): T {
    return this.#counted(sender, () => {
      const { verifier } = this.#options.trust;
      const keyId = verifier === null ? null : verifyJson(topic, payload, sender, verifier);
      const status = read(payload);
      if (keyId !== null)
        this.#requireNewStatus(topic, status, statusFloorKeys(keyId, sender === SERVER ? 'serverStatus' : 'status'));
      return status;
    });
  }

  /** Something of this sender's is refused elsewhere. */
  count(sender: string, error: unknown): void {
    const known = this.#refused.has(sender) || this.#refused.size < COUNTED_SENDERS;
    const name = known ? sender : OTHERS;
    const before = this.#refused.get(name);
    const code = error instanceof TwinwatchError ? error.code : 'UNKNOWN';
    const detail = (error instanceof Error ? error.message : String(error)).slice(0, 300);
    this.#refused.set(name, {
      count: (before?.count ?? 0) + 1,
      byCode: { ...before?.byCode, [code]: (before?.byCode[code] ?? 0) + 1 },
      last: { code, detail, atMs: this.#options.now() },
    });
    this.#options.onRefused?.();
  }

  #counted<T>(sender: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      this.count(sender, error);
      throw error;
    }
  }

  #requirePlace(topic: string, { federation, sender: from, message }: Envelope, sender: string): void {
    const context = { topic, federation, sender: from, kind: message.kind };
    if (federation !== this.#options.federation)
      throw new TwinwatchError(
        'WIRE_FOREIGN',
        `a ${message.kind} on ${topic} says it is of federation ${federation}; it is ignored`,
        { context },
      );
    if (from !== sender)
      throw new TwinwatchError('WIRE_WRONG_TOPIC', `a message on ${topic} says it is from ${from}; it is ignored`, {
        context,
      });
    const channel = parseTopic(topic)?.channel;
    if (channel !== CHANNEL_OF[message.kind] && !(channel === 'up' && message.kind === 'calibration'))
      throw new TwinwatchError('WIRE_WRONG_TOPIC', `a ${message.kind} does not belong on ${topic}; it is ignored`, {
        context,
      });
  }

  #requireNew(topic: string, { sequence, sentAtMs, message }: Envelope, keyId: string): void {
    // In chunks it takes a while to come, and is older by then than what went on the same channel meanwhile.
    const isWholeOfChunks = message.kind === 'calibration' && parseTopic(topic)?.channel === 'up';
    const key = floorKey(keyId, isWholeOfChunks ? 'calibration' : CHANNEL_OF[message.kind]);
    const floor = this.#floors.get(key);
    const found = freshness(floor, sequence);
    if (found === 'replayed')
      throw new TwinwatchError(
        'WIRE_REPLAYED',
        `a ${message.kind} on ${topic} with sequence ${sequence} is not newer than ${floor?.sequence}, which was taken before; it is ignored`,
        { context: { topic, kind: message.kind, sequence, sentAtMs } },
      );
    if (found === 'newest') return;
    this.#raise(key, { sequence, sentAtMs });
  }

  #requireNewStatus(
    topic: string,
    { online, sequence, connectionSequence }: Partial<StatusPlace> & { readonly online: boolean },
    [connectionKey, saidKey]: readonly [string, string],
  ): void {
    const [connection, said] = [this.#floors.get(connectionKey), this.#floors.get(saidKey)];
    const floor = connection === undefined || said === undefined ? null : { connection, said };
    if (sequence === undefined || connectionSequence === undefined) {
      if (floor === null) return;
      throw new TwinwatchError(
        'WIRE_REPLAYED',
        `a status on ${topic} has no sequence, and its sender's had one before; it is ignored. Where the sender went back to an older release, give it a new key`,
        { context: { topic } },
      );
    }
    const next = statusFreshness(floor, { online, sequence, connectionSequence }, this.#options.now());
    if (next.found === 'replayed')
      throw new TwinwatchError(
        'WIRE_REPLAYED',
        `a status on ${topic} that says ${online ? 'online' : 'offline'} is not newer than one that was taken before; it is ignored`,
        { context: { topic, sequence, connectionSequence } },
      );
    if (next.found === 'newest') return;
    this.#raise(connectionKey, next.floor.connection);
    this.#raise(saidKey, next.floor.said);
  }

  #raise(key: string, floor: Floor): void {
    this.#floors.set(key, floor);
    this.#options.onFloor(key, floor);
  }
}
