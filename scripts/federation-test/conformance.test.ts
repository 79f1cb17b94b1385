import { type AgentTopics, topics } from '@twinwatch/core/wire/topics';
import { afterAll, beforeAll, describe, expect, it, onTestFailed, vi } from 'vitest';
import { ROW_MS, START_MS } from '../test/served-rows.js';
import { embedded } from './brokers/embedded.js';
import { mosquitto, mosquittoOverTls } from './brokers/mosquitto.js';
import { nats, natsOverTls } from './brokers/nats.js';
import { rabbitmq } from './brokers/rabbitmq.js';
import { verdicts } from './check-output.js';
import { BYPASS, FederationProcesses } from './federation-processes.js';

/** The same federation over every broker, each with the configuration of configs/brokers. */

const BROKERS = [embedded, mosquitto('mqtt-3.1.1'), mosquitto('mqtt-5'), mosquittoOverTls, rabbitmq, nats, natsOverTls];
/** For whole phases, on a machine that does other things besides. */
const within = { timeout: 120_000, interval: 100 };
const SITES = ['site-1', 'site-2'] as const;

for (const { name, missing } of BROKERS) if (missing !== null) console.log(`${name}: ${missing}`);

describe.each(BROKERS)('a federation over $name', (tested) => {
  let federation: FederationProcesses;
  beforeAll(async () => {
    if (tested.missing === null) federation = await FederationProcesses.create(tested);
  }, 120_000);
  afterAll(() => federation?.close(), 60_000);

  it.skipIf(tested.missing !== null)('is found safe by broker-check', { timeout: 200_000 }, async () => {
    const { code, output } = await federation.checkBroker();
    expect(output).toContain(`: ${tested.recognised}`);
    expect(verdicts(output), output).toEqual({
      rights: 'UNKNOWN',
      ...{ encryption: 'OK', login: 'OK', protocol: 'OK', queue: 'OK', payload: 'OK', retained: 'OK' },
      ...{ wildcards: 'OK', 'last will': 'OK', 'sessions kept': 'UNKNOWN', restart: 'UNKNOWN' },
    });
    expect(code).toBe(0);
  });

  it.skipIf(tested.missing !== null)(
    'lets an agent say and hear only what is its own',
    { timeout: 120_000 },
    async () => {
      const [mine, others] = SITES.map((id) => topics('apart').agent(id)) as [AgentTopics, AgentTopics];
      const [server, honest, spy, forger] = await Promise.all([
        federation.client('server', 'apart-server'),
        ...['honest', 'spy', 'forger'].map((id) => federation.client('site-1', `apart-${id}`)),
      ]);
      await server!.client.subscribeAsync(topics('apart').everyAgent.hello, { qos: 1 });
      await honest!.client.subscribeAsync(mine.task, { qos: 1 });
      // Some refuse, some end the connection, some acknowledge and do nothing.
      const cutOff = new Promise<void>((resolve) => forger!.client.once('close', () => resolve()));
      const refused = () => undefined;
      await spy!.client.subscribeAsync(others.task, { qos: 1 }).catch(refused);
      await Promise.race([forger!.client.publishAsync(others.hello, 'forged', { qos: 1 }).catch(refused), cutOff]);
      for (const { task } of [others, mine]) await server!.client.publishAsync(task, 'task', { qos: 1 });
      await honest!.client.publishAsync(mine.hello, 'hello', { qos: 1 });
      await vi.waitFor(() => expect([server!.heard, honest!.heard]).toEqual([[mine.hello], [mine.task]]), within);
      expect(spy!.heard).toEqual([]);
      for (const { client } of [server!, honest!, spy!, forger!]) await client.endAsync(true);
    },
  );

  it.skipIf(tested.missing !== null)(
    'learns, releases, alarms, notices who goes, and goes on after restarts',
    {
      timeout: 600_000,
    },
    async () => {
      onTestFailed(() => console.log(federation.output()));
      await federation.startServer();
      await Promise.all(SITES.map((id) => federation.startAgent(id)));
      // Rounds with updates of both, and the model on both.
      await vi.waitFor(async () => {
        const { model, agents, phase } = await federation.state();
        expect(phase).toBe('finished');
        expect(agents.map(({ status }) => status?.modelVersion)).toEqual(SITES.map(() => model!.modelVersion));
      }, within);
      const { rounds, model } = await federation.state();
      expect(rounds.map(({ phase, accepted }) => [phase, [...accepted].sort()])).toEqual(
        Array(3).fill(['committed', [...SITES]]),
      );

      // Its last will.
      await federation.killAgent('site-2');
      await vi.waitFor(async () => expect((await federation.agent('site-2'))?.status?.online).toBe(false), within);

      // A server that starts anew hears of everybody who is there, whatever the broker does with retained messages and wildcards.
      await federation.stopServer();
      await federation.startServer();
      await vi.waitFor(async () => {
        const status = (await federation.agent('site-1'))?.status;
        expect(status).toMatchObject({ online: true, modelVersion: model!.modelVersion });
      }, within);

      // An alarm while there is no broker; then one that may have lost everything.
      await federation.broker.kill();
      federation.serveAll('site-1');
      await vi.waitFor(() => expect(federation.isRead('site-1')).toBe(true), within);
      await federation.broker.restart();
      await vi.waitFor(async () => {
        const { alarms } = await federation.state();
        expect(alarms.map(({ agent, transition }) => [agent, transition])).toEqual([
          ['site-1', 'raised'],
          ['site-1', 'cleared'],
        ]);
      }, within);
      expect((await federation.state()).alarms[0]!.atMs).toBe(START_MS + (BYPASS[0] + 1) * ROW_MS);

      // An agent that comes back, where the session it had may be gone.
      await federation.startAgent('site-2');
      await vi.waitFor(async () => {
        const status = (await federation.agent('site-2'))?.status;
        expect(status).toMatchObject({ online: true, modelVersion: model!.modelVersion });
      }, within);
    },
  );
});
