import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CHANNELS, type Channel, inTree, parseTopic, topics } from './topics.js';

const documented = readFileSync(new URL('../../../docs/topics.md', import.meta.url), 'utf8')
  .split('\n')
  .map((line) => /^\| `([^`]+)` \| (\w+) → .*? \| (\d) \| (yes|no)/.exec(line))
  .filter((match) => match !== null)
  .map(([, path, publisher, qos, retained]) => `${path} ${publisher} ${qos} ${retained}`);

describe('topics', () => {
  it('are those of docs/topics.md, with publisher, QoS and retain flag', () => {
    const coded = Object.values(CHANNELS).map(
      ({ path, publisher, qos, retained }) => `${path('<id>')} ${publisher} ${qos} ${retained ? 'yes' : 'no'}`,
    );
    expect([...coded].sort()).toEqual([...documented].sort());
  });

  it('parse to what they were built from', () => {
    const own = topics('demo').agent('site-1');
    for (const [channel, topic] of Object.entries(own))
      expect(parseTopic(topic)).toEqual({ federation: 'demo', channel, agent: 'site-1' });
    const { manifest, serverStatus } = topics('demo');
    expect(parseTopic(manifest)).toEqual({ federation: 'demo', channel: 'manifest' satisfies Channel, agent: null });
    expect(parseTopic(serverStatus)).toEqual({ federation: 'demo', channel: 'serverStatus', agent: null });
    expect(topics('demo').everyAgent.up).toBe('tw/v1/demo/agents/+/up');
  });

  it.each(['', 'a/b', '+', '#', 'ä', 'x'.repeat(65), '__proto__/x'])('refuse %j as an id', (id) => {
    expect(() => topics(id)).toThrow(expect.objectContaining({ code: 'WIRE_TOPIC_INVALID' }));
    expect(() => topics('demo').agent(id)).toThrow(expect.objectContaining({ code: 'WIRE_TOPIC_INVALID' }));
  });

  it.each([
    'tw/v1/demo/agents/+/status',
    'tw/v1/demo/agents/site-1/statusx',
    'tw/v1/demo/agents/site-1/constructor',
    'tw/v1/demo/agents/site-1/status/more',
    'tw/v1/demo/agents',
    'tw/v1/demo/models/manifest/x',
    'tw/v2/demo/server/status',
    'tw/v1/#',
  ])('do not parse %j', (topic) => {
    expect(parseTopic(topic)).toBeNull();
  });

  it('know their tree', () => {
    expect(['tw/v1', 'tw/v1/x'].every(inTree)).toBe(true);
    expect(['tw', 'tw/v10/x', 'other'].some(inTree)).toBe(false);
  });
});
