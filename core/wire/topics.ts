import { TwinwatchError } from '../errors.js';

/** The only code that builds or parses a topic; topics.test.ts ties it to the table in docs/topics.md. */

const ROOT = 'tw/v1';
const ID = /^[A-Za-z0-9_-]{1,64}$/;

export interface ChannelRule {
  readonly path: (agent: string) => string;
  readonly publisher: 'agent' | 'server';
  readonly qos: 0 | 1;
  readonly retained: boolean;
}

const agentChannel = (name: string, publisher: 'agent' | 'server', qos: 0 | 1, retained: boolean): ChannelRule => ({
  path: (agent) => `agents/${agent}/${name}`,
  publisher,
  qos,
  retained,
});

const AGENT_CHANNELS = {
  status: agentChannel('status', 'agent', 1, true),
  telemetry: agentChannel('telemetry', 'agent', 1, false),
  alarms: agentChannel('alarms', 'agent', 1, false),
  hello: agentChannel('hello', 'agent', 1, false),
  up: agentChannel('up', 'agent', 1, false),
  request: agentChannel('request', 'agent', 1, false),
  answer: agentChannel('answer', 'agent', 1, false),
  task: agentChannel('task', 'server', 1, false),
  down: agentChannel('down', 'server', 1, false),
  receipt: agentChannel('receipt', 'server', 1, false),
  command: agentChannel('command', 'server', 1, false),
} as const;

const FEDERATION_CHANNELS = {
  manifest: { path: () => 'models/manifest', publisher: 'server', qos: 1, retained: true },
  serverStatus: { path: () => 'server/status', publisher: 'server', qos: 1, retained: true },
} as const satisfies Record<string, ChannelRule>;

/** Who publishes on each channel, with which QoS, retained or not. The broker's rights and the link's defaults come from here. */
export const CHANNELS: Readonly<Record<Channel, ChannelRule>> = { ...AGENT_CHANNELS, ...FEDERATION_CHANNELS };

export type AgentChannel = keyof typeof AGENT_CHANNELS;
type FederationChannel = keyof typeof FEDERATION_CHANNELS;
export type Channel = AgentChannel | FederationChannel;

export type ParsedTopic =
  | { readonly federation: string; readonly channel: AgentChannel; readonly agent: string }
  | { readonly federation: string; readonly channel: FederationChannel; readonly agent: null };

export type AgentTopics = Readonly<Record<AgentChannel, string>>;

export interface FederationTopics extends Readonly<Record<FederationChannel, string>> {
  /** @throws TwinwatchError WIRE_TOPIC_INVALID when the id is not [A-Za-z0-9_-]{1,64}. */
  agent(id: string): AgentTopics;
  /** Subscription filters over all agents: `everyAgent.status` is `…/agents/+/status`. */
  readonly everyAgent: AgentTopics;
}

function agentTopics(federation: string, agent: string): AgentTopics {
  const entries = Object.entries(AGENT_CHANNELS).map(([name, rule]) => [
    name,
    `${ROOT}/${federation}/${rule.path(agent)}`,
  ]);
  return Object.fromEntries(entries) as AgentTopics;
}

function requireId(what: string, id: string): void {
  if (!ID.test(id))
    throw new TwinwatchError(
      'WIRE_TOPIC_INVALID',
      `${what} ${JSON.stringify(id.slice(0, 80))} cannot be part of a topic; use 1 to 64 letters, digits, '_' or '-'`,
      { context: { id: id.slice(0, 80) } },
    );
}

/** @throws TwinwatchError WIRE_TOPIC_INVALID when the federation's name is not [A-Za-z0-9_-]{1,64}. */
export function topics(federation: string): FederationTopics {
  requireId('federation', federation);
  return {
    manifest: `${ROOT}/${federation}/${FEDERATION_CHANNELS.manifest.path()}`,
    serverStatus: `${ROOT}/${federation}/${FEDERATION_CHANNELS.serverStatus.path()}`,
    agent(id) {
      requireId('agent', id);
      return agentTopics(federation, id);
    },
    everyAgent: agentTopics(federation, '+'),
  };
}

/** True for a topic or filter inside this product's tree, whether it parses or not. */
export function inTree(topic: string): boolean {
  return topic === ROOT || topic.startsWith(`${ROOT}/`);
}

/** What a concrete topic names; null for filters, other trees and unknown channels. */
export function parseTopic(topic: string): ParsedTopic | null {
  if (topic.length > 256 || !topic.startsWith(`${ROOT}/`)) return null;
  const [federation = '', area, second, third, ...rest] = topic.slice(ROOT.length + 1).split('/');
  if (!ID.test(federation) || rest.length > 0) return null;
  if (third === undefined) {
    if (area === 'models' && second === 'manifest') return { federation, channel: 'manifest', agent: null };
    if (area === 'server' && second === 'status') return { federation, channel: 'serverStatus', agent: null };
    return null;
  }
  if (area !== 'agents' || second === undefined || !ID.test(second)) return null;
  return Object.hasOwn(AGENT_CHANNELS, third) ? { federation, channel: third as AgentChannel, agent: second } : null;
}
