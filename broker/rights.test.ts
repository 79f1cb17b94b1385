import { brokerLimitsSchema } from '@twinwatch/core/config/broker';
import { CHANNELS, type Channel, topics } from '@twinwatch/core/wire/topics';
import { describe, expect, it } from 'vitest';
import { clientIdFault, type Identity, publishFault, readFault, subscribeFault } from './rights.js';

const limits = brokerLimitsSchema.parse({ maximumPayloadBytes: 4096, maximumSubscriptionsPerClient: 3 });
const agent: Identity = { role: 'agent', agent: 'site-1' };
const server: Identity = { role: 'server' };
const anonymous: Identity = { role: 'anonymous' };
const own = topics('demo').agent('site-1');
const other = topics('demo').agent('site-2');
const { manifest, serverStatus, everyAgent } = topics('demo');

const publish = (identity: Identity, topic: string, retain = false, payloadBytes = 10) =>
  publishFault(identity, { topic, payloadBytes, retain }, limits);
const subscribe = (identity: Identity, filter: string, held = 0) => subscribeFault(identity, filter, held, limits);

describe('rights', () => {
  it('let an agent say and hear what is its own, and nothing else', () => {
    expect(
      [own.status, own.telemetry, own.alarms, own.hello, own.up, own.request].map((t) => publish(agent, t)),
    ).toEqual(new Array(6).fill(null));
    expect(publish(agent, own.status, true)).toBeNull();
    for (const topic of [other.status, own.task, manifest, serverStatus, 'elsewhere', '$SYS/x'])
      expect(publish(agent, topic)).toEqual(expect.any(String));
    for (const topic of [own.task, own.down, own.receipt, own.command, manifest, serverStatus])
      expect(subscribe(agent, topic)).toBeNull();
    for (const filter of ['#', everyAgent.status, 'tw/v1/demo/agents/site-1/+', other.task, 'elsewhere'])
      expect(subscribe(agent, filter)).toEqual(expect.any(String));
    expect(readFault(agent, other.task)).toEqual(expect.any(String));
  });

  it('let a server say its part and hear everything, an observer only hear', () => {
    expect([own.task, own.down, manifest, serverStatus].map((topic) => publish(server, topic))).toEqual(
      new Array(4).fill(null),
    );
    expect(publish(server, own.status)).toEqual(expect.any(String));
    expect(subscribe(server, everyAgent.up)).toBeNull();
    expect(subscribe({ role: 'observer' }, '#')).toBeNull();
    for (const role of ['observer', 'operator'] as const)
      expect(publish({ role }, own.task)).toEqual(expect.any(String));
    const figures = '$SYS/broker/uptime';
    expect([server, { role: 'operator' } as const].map((reader) => subscribe(reader, figures))).toEqual([null, null]);
    for (const reader of [agent, { role: 'observer' } as const])
      expect([subscribe(reader, figures), readFault(reader, figures)]).toEqual([
        expect.any(String),
        expect.any(String),
      ]);
  });

  const channels = Object.entries(CHANNELS) as [Channel, (typeof CHANNELS)[Channel]][];
  const everywhere = ['site-1', 'site-2'].flatMap((id) => ['demo', 'other'].map((federation) => ({ id, federation })));
  const topicOf = (federation: string, channel: Channel, id: string): string => {
    const all = topics(federation);
    return { ...all.agent(id), manifest: all.manifest, serverStatus: all.serverStatus }[channel];
  };

  it.each(channels)(
    'on %s: an agent of a certificate speaks and hears for itself, in its own federation, and nobody else',
    (channel, rule) => {
      const certified: Identity = { role: 'agent', agent: 'site-1', federation: 'demo' };
      const ofAgents = rule.path('a') !== rule.path('b');
      for (const { id, federation } of everywhere) {
        const topic = topicOf(federation, channel, id);
        const own = federation === 'demo' && (id === 'site-1' || !ofAgents);
        const may = {
          publish: own && rule.publisher === 'agent',
          read: own && (rule.publisher === 'server' || channel === 'status'),
        };
        expect([topic, publish(certified, topic)]).toEqual([topic, may.publish ? null : expect.any(String)]);
        expect([topic, subscribe(certified, topic)]).toEqual([topic, may.read ? null : expect.any(String)]);
        expect([topic, readFault(certified, topic)]).toEqual([topic, may.read ? null : expect.any(String)]);
        if (!rule.retained) expect(publish(certified, topic, true)).toEqual(expect.any(String));
        for (const wildcard of [topic.replace('/demo/', '/+/'), topic.replace(id, '+'), topic.replace(/[^/]+$/, '#')])
          if (wildcard !== topic) expect(subscribe(certified, wildcard)).toEqual(expect.any(String));
      }
    },
  );

  it.each(channels)(
    'on %s: a server of a certificate keeps to its own federation, an observer is silent',
    (channel, rule) => {
      const certified: Identity = { role: 'server', federation: 'demo' };
      const watcher: Identity = { role: 'observer', federation: 'demo' };
      for (const { id, federation } of everywhere) {
        const topic = topicOf(federation, channel, id);
        const home = federation === 'demo';
        expect(publish(certified, topic)).toEqual(home && rule.publisher === 'server' ? null : expect.any(String));
        expect(readFault(certified, topic)).toEqual(home ? null : expect.any(String));
        expect(readFault(watcher, topic)).toEqual(home ? null : expect.any(String));
        expect(publish(watcher, topic)).toEqual(expect.any(String));
      }
    },
  );

  it('give nobody the session of another', () => {
    const certified: Identity = { role: 'agent', agent: 'site-1', federation: 'demo' };
    for (const id of ['twinwatch-demo-site-1', 'twinwatch-check-42', 'site-1-tank'])
      expect(clientIdFault(certified, id)).toBeNull();
    for (const id of ['twinwatch-demo-site-2', 'twinwatch-other-site-1', 'demo-server'])
      expect(clientIdFault(certified, id)).toEqual(expect.any(String));
    expect(clientIdFault(agent, 'twinwatch-demo-site-2')).toEqual(expect.any(String));
    expect(clientIdFault(agent, 'twinwatch-demo-site-1')).toBeNull();
    expect(clientIdFault(server, 'demo-server')).toBeNull();
    const [pump, west]: Identity[] = [
      { role: 'agent', agent: 'pump' },
      { role: 'agent', agent: 'west-pump' },
    ];
    const agents = ['pump', 'west-pump'];
    expect(clientIdFault(pump!, 'twinwatch-demo-west-pump', agents)).toEqual(expect.any(String));
    expect(clientIdFault(west!, 'twinwatch-demo-west-pump', agents)).toBeNull();
    for (const federation of ['demo', 'west'])
      expect(clientIdFault(pump!, `twinwatch-${federation}-pump`, agents)).toBeNull();
  });

  it('hold everybody to the tree, its retained topics and the limits', () => {
    expect(publish(anonymous, 'sensors/a', true)).toBeNull();
    expect(publish(anonymous, own.up, true)).toMatch(/not a retained topic/);
    expect(publish(anonymous, 'tw/v1/demo/agents/site-1/other')).toMatch(/no such topic/);
    expect(publish(anonymous, 'a', false, 4097)).toMatch(/payload of 4097/);
    expect(publish(anonymous, new Array(17).fill('a').join('/'))).toMatch(/17 levels/);
    expect(publish(anonymous, 'ä'.repeat(300))).toMatch(/more than 512 bytes/);
    expect(subscribe(anonymous, new Array(17).fill('+').join('/'))).toMatch(/17 levels/);
    expect(subscribe(anonymous, 'a', 3)).toMatch(/more than 3/);
  });
});
