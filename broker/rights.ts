import type { BrokerLimits } from '@twinwatch/core/config/broker';
import { CHANNELS, inTree, type ParsedTopic, parseTopic } from '@twinwatch/core/wire/topics';

/** Who may publish and read what. Pure: null means allowed, a text says why not. */

export type Identity = {
  /** Where it is known, which it is from certificates: the only federation whose topics count. */
  readonly federation?: string;
} & (
  | { readonly role: 'anonymous' | 'server' | 'operator' | 'observer' }
  | { readonly role: 'agent'; readonly agent: string }
);

export interface Publication {
  readonly topic: string;
  readonly payloadBytes: number;
  readonly retain: boolean;
}

export function publishFault(identity: Identity, publication: Publication, limits: BrokerLimits): string | null {
  const { topic, payloadBytes, retain } = publication;
  if (payloadBytes > limits.maximumPayloadBytes)
    return `payload of ${payloadBytes} bytes, at most ${limits.maximumPayloadBytes}`;
  const fault = topicFault(topic, limits);
  if (fault !== null) return fault;
  if (topic.startsWith('$')) return 'topics that begin with $ are the broker’s own';
  if (identity.role === 'observer' || identity.role === 'operator') return `${identity.role}s publish nothing`;
  const parsed = parseTopic(topic);
  if (parsed === null) {
    if (inTree(topic)) return 'no such topic in this tree';
    return identity.role === 'agent' ? 'not a topic of this agent' : null;
  }
  const { publisher, retained } = CHANNELS[parsed.channel];
  if (retain && !retained) return `${parsed.channel} is not a retained topic`;
  if (identity.role === 'anonymous') return null;
  if (isForeign(identity, parsed)) return 'the topic of another federation';
  if (identity.role !== publisher) return `${parsed.channel} is published by the ${publisher}`;
  if (identity.role === 'agent' && parsed.agent !== identity.agent) return 'the topic of another agent';
  return null;
}

export function subscribeFault(
  identity: Identity,
  filter: string,
  subscriptions: number,
  limits: BrokerLimits,
): string | null {
  if (subscriptions >= limits.maximumSubscriptionsPerClient)
    return `more than ${limits.maximumSubscriptionsPerClient} subscriptions`;
  const fault = topicFault(filter, limits);
  if (fault !== null) return fault;
  if (identity.role === 'agent' && (filter.includes('+') || filter.includes('#')))
    return 'agents subscribe without wildcards';
  return readFault(identity, filter);
}

/** Also asked for every message that is forwarded: a session may hold subscriptions from before its rights changed. */
export function readFault(identity: Identity, topic: string): string | null {
  if (identity.role === 'observer' && topic.startsWith('$')) return 'the broker’s own figures';
  const parsed = parseTopic(topic);
  if (parsed !== null && isForeign(identity, parsed)) return 'the topic of another federation';
  if (identity.role !== 'agent') return null;
  if (parsed === null) return 'not a topic of this agent';
  if (parsed.agent !== null && parsed.agent !== identity.agent) return 'the topic of another agent';
  // Its own status tells an agent of another one under its name.
  if (parsed.channel === 'status') return null;
  return CHANNELS[parsed.channel].publisher === 'server' ? null : `${parsed.channel} is for the server to read`;
}

function isForeign({ federation }: Identity, parsed: ParsedTopic): boolean {
  return federation !== undefined && parsed.federation !== federation;
}

const CHECK_CLIENT = /^twinwatch-check-\d+$/;

/**
 * Whoever connects under a client id takes over the session that is kept under it, and what waits in there.
 * @param agents all that have passwords: by these alone a broker does not know its federation, and `twinwatch-demo-west-pump` is `west-pump`'s, not `pump`'s.
 */
export function clientIdFault(identity: Identity, clientId: string, agents: readonly string[] = []): string | null {
  if (identity.role !== 'agent') return null;
  const { agent, federation } = identity;
  if (clientId.endsWith('-server')) return 'the client id of a server';
  if (!clientId.startsWith('twinwatch-') || CHECK_CLIENT.test(clientId)) return null;
  const own =
    federation === undefined
      ? isFor(clientId, agent) && !agents.some((other) => other.length > agent.length && isFor(clientId, other))
      : clientId === `twinwatch-${federation}-${agent}`;
  return own ? null : 'the client id of another agent';
}

/** In some federation. */
function isFor(clientId: string, agent: string): boolean {
  return clientId.endsWith(`-${agent}`) && clientId.length > `twinwatch--${agent}`.length;
}

function topicFault(topic: string, limits: BrokerLimits): string | null {
  if (Buffer.byteLength(topic) > limits.maximumTopicBytes)
    return `topic of more than ${limits.maximumTopicBytes} bytes`;
  const levels = topic.split('/').length;
  return levels > limits.maximumTopicLevels ? `topic of ${levels} levels, at most ${limits.maximumTopicLevels}` : null;
}
