import { hashOf } from '@twinwatch/core/wire/blobs';
import { decodeEnvelope, encodeEnvelope } from '@twinwatch/core/wire/envelope';
import { parseServerStatus } from '@twinwatch/core/wire/json-messages';
import type { Link } from '@twinwatch/core/wire/link';
import { supersedes } from '@twinwatch/core/wire/presence';
import { topics } from '@twinwatch/core/wire/topics';
import mqtt from 'mqtt';
import { afterEach, describe, expect, it } from 'vitest';
import { TestBench, until } from './test-bench.js';

const bench = new TestBench();
afterEach(() => bench.close());

const own = topics('demo').agent('site-1');
const { everyAgent, serverStatus } = topics('demo');
const payload = (bytes: number) => Uint8Array.from({ length: bytes }, (_, i) => (i * 31 + (i >> 8)) & 255);
const status = (connectionId: string, online: boolean) =>
  Buffer.from(JSON.stringify({ online, connectionId, softwareVersion: '0.1.0' }));

describe('link', () => {
  it('waits for a broker that is not there, and refuses at once meanwhile', async () => {
    const first = await bench.broker();
    await first.close();
    const link = bench.link(first.port, { clientId: 'site-1' });
    await expect(link.publish(own.alarms, 'x')).rejects.toMatchObject({ code: 'WIRE_OFFLINE', retryable: true });
    const received: string[] = [];
    const sent = link.sendTransfer(own.up, payload(9_000));
    const second = await bench.broker({ port: first.port });
    const server = bench.link(second.port, {
      clientId: 'server',
      subscriptions: [everyAgent.up],
      onTransfer: (topic, bytes, transfer) => received.push(`${topic} ${bytes.length} ${hashOf(bytes) === transfer}`),
    });
    await sent;
    await until('both online', () => link.online && server.online);
    await link.sendTransfer(own.up, payload(9_001));
    await until('the transfer', () => received.includes(`${own.up} 9001 true`));
    expect(link.traffic.out.up?.messages).toBe(6);
  });

  it('comes back after the broker lost its sessions, subscribes anew and finishes the transfer under way', async () => {
    const first = await bench.broker();
    const received: string[] = [];
    const messages: string[] = [];
    const server = bench.link(first.port, {
      clientId: 'server',
      subscriptions: [everyAgent.up, everyAgent.hello],
      onMessage: (_topic, bytes) => messages.push(Buffer.from(bytes).toString()),
      onTransfer: (_topic, bytes) => received.push(hashOf(bytes)),
    });
    const reasons: string[] = [];
    const agent = bench.link(first.port, { clientId: 'site-1', onOffline: (reason) => reasons.push(reason) });
    await until('both online', () => server.online && agent.online);
    const whole = payload(2_000_000);
    const sent = agent.sendTransfer(own.up, whole);
    await until('some chunks', () => (agent.traffic.out.up?.messages ?? 0) > 20);
    await first.close();
    await until('offline', () => !server.online && !agent.online);
    const second = await bench.broker({ port: first.port });
    await sent;
    await until('both online again', () => server.online && agent.online);
    await agent.publish(own.hello, 'again');
    await until('the subscription works', () => messages.includes('again'));
    expect(reasons.length).toBeGreaterThan(0);
    expect(second.counters.refusedPublishes).toBe(0);
  });

  it('dials no more where the broker goes while it says goodbye', async () => {
    const broker = await bench.broker();
    const relay = await bench.relay(broker.port);
    let dials = 0;
    const link = bench.link(relay.port, {
      clientId: 'site-1',
      will: (connectionId) => ({ topic: own.status, payload: status(connectionId, false) }),
      connect: (dial) => {
        dials++;
        return mqtt.connect(dial.url, dial);
      },
    });
    await until('online', () => link.online);
    const stopped = link.stop();
    relay.cut();
    await stopped;
    expect(dials).toBe(1);
  });

  it('leaves a will with the id of its connection, and says goodbye itself when it is stopped', async () => {
    const broker = await bench.broker();
    const relay = await bench.relay(broker.port);
    const seen = await bench.listener(broker.port, serverStatus);
    const ids: string[] = [];
    const link: Link = bench.link(relay.port, {
      clientId: 'server',
      will: (connectionId) => ({ topic: serverStatus, payload: status(connectionId, false) }),
      onOnline: (connectionId) => {
        ids.push(connectionId);
        void link.publish(serverStatus, status(connectionId, true));
      },
    });
    const said = () => seen.map(({ text }) => parseServerStatus(Buffer.from(text)));
    await until('online', () => said().length === 1);
    relay.cut();
    await until('online again', () => said().filter(({ online }) => online).length === 2);
    await until('the will', () => said().some(({ online }) => !online));
    expect(new Set(ids).size).toBe(2);
    const will = said().find(({ online }) => !online)!;
    expect(will.connectionId).toBe(ids[0]);
    expect(supersedes({ online: true, connectionId: ids[1]! }, will)).toBe(false);
    await Promise.all([link.stop(), link.stop()]);
    await link.stop();
    const retained = await bench.listener(broker.port, serverStatus);
    await until('the retained status', () => retained.length === 1);
    expect(parseServerStatus(Buffer.from(retained[0]!.text))).toMatchObject({ online: false, connectionId: ids[1] });
    expect(said().filter(({ online }) => !online)).toHaveLength(2);
    await expect(link.publish(serverStatus, 'x')).rejects.toMatchObject({ code: 'WIRE_OFFLINE' });
    await expect(link.sendTransfer(own.up, payload(1))).rejects.toMatchObject({ code: 'WIRE_STOPPED' });
  });

  it('lets an alarm pass the chunks of a transfer', async () => {
    const broker = await bench.broker();
    const arrived: string[] = [];
    const whole = payload(1_000_000);
    const server = bench.link(broker.port, {
      clientId: 'server',
      subscriptions: [everyAgent.up, everyAgent.alarms],
      onMessage: () => arrived.push(`alarm after ${server.traffic.in.up?.messages ?? 0}`),
      onTransfer: (_topic, bytes) => arrived.push(hashOf(bytes)),
    });
    const agent = bench.link(broker.port, { clientId: 'site-1' });
    await until('both online', () => server.online && agent.online);
    const sent = agent.sendTransfer(own.up, whole);
    await until('some chunks', () => (agent.traffic.out.up?.messages ?? 0) >= 20);
    const before = agent.traffic.out.up?.messages ?? 0;
    await agent.publish(own.alarms, 'alarm', { priority: 'alarm' });
    await sent;
    await until('both', () => arrived.length === 2);
    expect(arrived[1]).toBe(hashOf(whole));
    // One chunk is in flight; the broker, which stores before it forwards, may turn neighbours round.
    expect(Number(arrived[0]?.split(' ')[2])).toBeLessThanOrEqual(before + 4);
    expect(agent.traffic.out.up?.messages).toBe(261);
  });

  it('asks for chunks that stayed away', async () => {
    const broker = await bench.broker();
    const whole = payload(20_000);
    const received: string[] = [];
    const asked: (readonly number[])[] = [];
    const server = bench.link(broker.port, {
      clientId: 'server',
      subscriptions: [everyAgent.up],
      stalledMs: 100,
      onTransfer: (_topic, bytes) => received.push(hashOf(bytes)),
      onMissing: ({ transfer, missing }) => {
        asked.push(missing);
        const message = { kind: 'chunk-request' as const, transfer, missing };
        const fields = { federation: 'demo', sender: 'server', sequence: 1, sentAtMs: 0 };
        void server.publish(own.receipt, encodeEnvelope({ ...fields, message }));
      },
    });
    const agent = bench.link(broker.port, {
      clientId: 'site-1',
      subscriptions: [own.receipt],
      onMessage: (_topic, bytes) => {
        const { message } = decodeEnvelope(bytes);
        if (message.kind === 'chunk-request') void agent.sendTransfer(own.up, whole, { indices: message.missing });
      },
    });
    await until('both online', () => server.online && agent.online);
    await agent.sendTransfer(own.up, whole, { indices: [0, 2, 4] });
    await until('the whole', () => received.length === 1);
    expect(received[0]).toBe(hashOf(whole));
    expect(asked[0]).toEqual([1, 3, 5]);
  });

  it('answers what waited in its session, before it is subscribed again', async () => {
    const broker = await bench.broker();
    const start = (onMessage: () => void) =>
      bench.link(broker.port, { clientId: 'server', subscriptions: [everyAgent.hello], onMessage });
    const before = start(() => undefined);
    await until('online', () => before.online);
    await before.stop();
    const receipts = await bench.listener(broker.port, own.receipt);
    const agent = await bench.client(broker.port);
    await agent.publishAsync(own.hello, 'hello', { qos: 1 });
    const failures: unknown[] = [];
    const after = start(
      () => void after.publish(own.receipt, 'receipt').catch((error: unknown) => failures.push(error)),
    );
    await until('the receipt', () => receipts.length > 0);
    expect(failures).toEqual([]);
  });

  it('notices a connection that went silent', async () => {
    const broker = await bench.broker();
    const relay = await bench.relay(broker.port);
    const link = bench.link(relay.port, { clientId: 'site-1', keepaliveSeconds: 1 });
    await until('online', () => link.online);
    const before = link.connectionId;
    relay.freeze();
    const publishing = expect(link.publish(own.hello, 'x')).rejects.toMatchObject({ code: 'WIRE_OFFLINE' });
    await until('offline', () => !link.online);
    await publishing;
    relay.heal();
    // It may have dialled while nothing came through, and then waits 10 s.
    await until('online again', () => link.online, 60_000);
    expect(link.connectionId).not.toBe(before);
  }, 90_000);

  it('hangs up on a broker that acknowledges nothing, and goes on when its subscription is refused', async () => {
    const credentials = [{ username: 'site-1', password: 'some password', role: 'agent' as const, agent: 'site-1' }];
    const broker = await bench.broker({ credentials });
    const reasons: string[] = [];
    const log = {
      debug: (context: object) => reasons.push(String((context as { reason?: string }).reason)),
      info: () => undefined,
      warn: () => undefined,
      error: () => undefined,
    };
    const account = { username: 'site-1', password: 'some password', log };
    const refused = bench.link(broker.port, { ...account, clientId: 'a', subscriptions: [own.task, everyAgent.task] });
    await until('the reason', () => reasons.some((reason) => reason.includes(everyAgent.task)));
    expect(refused.online).toBe(false);
    await refused.stop();

    const relay = await bench.relay(broker.port);
    const link = bench.link(relay.port, {
      ...account,
      clientId: 'b',
      subscriptions: [own.task],
      publishTimeoutMs: 100,
    });
    await until('online', () => link.online);
    relay.freeze();
    await expect(link.publish(own.hello, 'x')).rejects.toMatchObject({ code: 'WIRE_PUBLISH_TIMEOUT', retryable: true });
    expect(link.online).toBe(false);
  });

  it('survives handlers that throw and chunks that are garbage', async () => {
    const broker = await bench.broker();
    const got: string[] = [];
    const link = bench.link(broker.port, {
      clientId: 'server',
      subscriptions: [everyAgent.up, everyAgent.hello],
      onMessage: (_topic, bytes) => {
        got.push(Buffer.from(bytes).toString());
        throw new Error('handler');
      },
    });
    await until('online', () => link.online);
    const client = await bench.client(broker.port);
    await client.publishAsync(own.up, 'not a chunk', { qos: 1 });
    await client.publishAsync(own.hello, 'one', { qos: 1 });
    await client.publishAsync(own.hello, 'two', { qos: 1 });
    await until('both messages', () => got.length === 2);
    expect(link.online).toBe(true);
  });
});
