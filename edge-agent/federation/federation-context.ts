import type { Clock, Logger, Timers } from '@twinwatch/core/runtime';
import { CHUNK_DATA_BYTES } from '@twinwatch/core/wire/chunks';
import { type EnvelopeFields, encodeEnvelope } from '@twinwatch/core/wire/envelope';
import type { Link } from '@twinwatch/core/wire/link';
import type { WireMessage } from '@twinwatch/core/wire/messages';
import type { AgentTopics } from '@twinwatch/core/wire/topics';
import type { Store } from '../store/store.js';
import type { AgentTrust } from './agent-trust.js';

/** What the parts of an agent's life in a federation share. */
export interface FederationContext {
  readonly federation: string;
  readonly agent: string;
  readonly link: Link;
  readonly topics: AgentTopics;
  readonly store: Store;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
  /** Rises with every message, over restarts as well. */
  readonly nextSequence: () => number;
  readonly trust: AgentTrust;
  /** To write in. @throws TwinwatchError WIRE_PROTOCOL where agent and server have none in common. */
  readonly protocol: () => number;
}

/** Signed for the topic, where this federation signs. @throws TwinwatchError WIRE_PROTOCOL where the server could not read it. */
export function enveloped(
  context: FederationContext,
  topic: string,
  message: WireMessage,
  maximumBytes?: number,
): Uint8Array {
  const fields: EnvelopeFields = {
    federation: context.federation,
    sender: context.agent,
    sequence: context.nextSequence(),
    sentAtMs: context.clock.now(),
    message,
    protocol: context.protocol(),
  };
  return encodeEnvelope(fields, maximumBytes, { topic, signer: context.trust.signer });
}

/** Publishes as soon as there is a connection; tries again until the broker has it or the signal aborts. */
export async function publishUntilTaken(
  context: FederationContext,
  topic: string,
  message: WireMessage,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await context.link.publish(topic, enveloped(context, topic, message));
      return;
    } catch (error) {
      context.log.debug({ kind: message.kind, error: String(error) }, 'not published yet');
      await context.timers.sleep('publish-retry', 500, signal).catch(() => undefined);
    }
  }
}

/** From which on a server reads a calibration that comes in chunks. */
const CHUNKED_CALIBRATION = 2;
/** For the server's status to come, which a broker may deliver after its task. */
const STATUS_WAIT_MS = 2_000;

/**
 * A calibration with a profile has tens of kilobytes: in chunks, where the server reads that, an alarm passes it on a slow line. What gets lost
 * with a broker is asked for again by the server, after the next hello.
 */
export async function sendCalibration(
  context: FederationContext,
  message: WireMessage,
  signal: AbortSignal,
): Promise<void> {
  const { link, topics, timers } = context;
  const isSmall = enveloped(context, topics.hello, message).length <= CHUNK_DATA_BYTES;
  if (!isSmall && context.protocol() < CHUNKED_CALIBRATION)
    await timers.sleep('calibration', STATUS_WAIT_MS, signal).catch(() => undefined);
  if (isSmall || context.protocol() < CHUNKED_CALIBRATION)
    await publishUntilTaken(context, topics.hello, message, signal);
  else await link.sendTransfer(topics.up, enveloped(context, topics.up, message), { signal });
}
