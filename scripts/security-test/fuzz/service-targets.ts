import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startBroker } from '@twinwatch/broker/broker';
import { httpAccess } from '@twinwatch/core/config/http-access';
import { registryConfig } from '@twinwatch/core/config/registry';
import { roundsConfig } from '@twinwatch/core/config/server';
import { openJournal } from '@twinwatch/twin-server/aggregator/sqlite-journal';
import { ChangeFeed } from '@twinwatch/twin-server/api/change-feed';
import { createApi, listen } from '@twinwatch/twin-server/api/http';
import { LiveView } from '@twinwatch/twin-server/api/live-view';
import { TelemetryHistory } from '@twinwatch/twin-server/api/telemetry-history';
import { serverState } from '@twinwatch/twin-server/api/views';
import { DecisionDesk } from '@twinwatch/twin-server/decisions/decision-desk';
import { ModelRegistry } from '@twinwatch/twin-server/registry/model-registry';
import { systemClock, systemTimers } from '../../processes/node-runtime.js';
import { type FuzzTarget, hex, REFUSED, utf8 } from './target.js';

/** What listens on a port: bytes on a real socket, and afterwards it must still be there for others. */

interface Service {
  readonly port: number;
  close(): Promise<void>;
}

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
/** Of a peer that says nothing wrong and nothing whole. */
const LONGEST_ANSWER_MS = 20;

function service(
  name: string,
  start: (directory: string) => Promise<Service>,
  samples: readonly Uint8Array[],
  hostile: readonly Uint8Array[],
): FuzzTarget {
  const open = async () => {
    const directory = await mkdtemp(join(tmpdir(), 'twinwatch-fuzz-'));
    return { directory, running: await start(directory) };
  };
  let opened: ReturnType<typeof open> | null = null;
  return {
    ...{ name, isSlow: true, samples: async () => samples, hostile },
    async decode(bytes) {
      opened ??= open();
      const { running } = await opened;
      const socket = connect(running.port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.resume();
      await once(socket, 'connect');
      const ended = once(socket, 'close').then(() => REFUSED);
      socket.write(bytes);
      const outcome = await Promise.race([ended, delay(LONGEST_ANSWER_MS)]);
      socket.destroy();
      return outcome;
    },
    async release() {
      const { directory, running } = await opened!;
      await running.close();
      await rm(directory, { recursive: true });
    },
  };
}

/** CONNECT of client 'a', SUBSCRIBE to 'a/b', PUBLISH to 'a/b' with QoS 1: MQTT 3.1.1, section 3. */
const CONNECT = '100d00044d5154540402003c000161';
const SUBSCRIBE = '820800010003612f6201';
const PUBLISH = '320b0003612f62000268692121';

const REQUESTS = [
  'GET /api/state HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n',
  'GET /api/models/v1.onnx HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n',
  'POST /api/alarms/s%3A1/dismiss HTTP/1.1\r\nhost: 127.0.0.1\r\nx-twinwatch: 1\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{"by":"Ada"}',
  'POST /api/models/rollback HTTP/1.1\r\nhost: 127.0.0.1\r\nx-twinwatch: 1\r\ncontent-type: application/json\r\ncontent-length: 26\r\n\r\n{"by":"Ada","version":"v"}',
  'POST /api/agents/s/labels HTTP/1.1\r\nhost: 127.0.0.1\r\nx-twinwatch: 1\r\ncontent-type: application/json\r\ncontent-length: 55\r\n\r\n{"by":"Ada","fromMs":1,"toMs":2,"label":"normal"}      ',
];

async function api(directory: string): Promise<Service> {
  const journal = openJournal(join(directory, 'server.db'));
  const changes = new ChangeFeed();
  const history = new TelemetryHistory();
  const rounds = roundsConfig.parse({});
  const certificates = () => [];
  const live = new LiveView({
    federation: 'demo',
    rounds,
    tags: [],
    journal,
    run: 'r',
    changes,
    history,
    certificates,
  });
  const desk = new DecisionDesk({
    ...{ journal, now: () => Date.now(), newId: () => 'id', isAgent: () => true, send: () => undefined },
    onDecision: () => undefined,
  });
  const models = new ModelRegistry({
    ...{ journal, clock: systemClock, timers: systemTimers, log: quiet, agents: () => [] },
    config: { ...registryConfig.parse({}), maximumFalseRate: 0.01 },
    publish: () => undefined,
    onChange: () => undefined,
  });
  const app = await createApi({
    models,
    ...{ http: httpAccess.parse({ requestsPerMinute: 1_000_000 }), clock: systemClock, certificate: null },
    ...{
      state: () => serverState(live.snapshot()),
      changes,
      history,
      model: () => null,
      dashboardDir: directory,
      desk,
    },
    ...{ timers: systemTimers, liftQuarantine: (agent: string) => live.agent(agent) },
  });
  const port = await listen(app, '127.0.0.1', 0);
  return {
    port,
    async close() {
      await app.close();
      journal.close();
    },
  };
}

export const serviceTargets: readonly FuzzTarget[] = [
  service(
    'MQTT broker',
    (dataDir) => startBroker({ host: '127.0.0.1', port: 0, dataDir, clock: systemClock, log: quiet }),
    [CONNECT, CONNECT + SUBSCRIBE + PUBLISH, CONNECT + PUBLISH].map(hex),
    [hex('10ffffff7f'), hex('ffffffffff'), hex(CONNECT + CONNECT), hex(`${CONNECT}32ffff7f${'2f'.repeat(9_000)}`)],
  ),
  service('HTTP API', api, REQUESTS.map(utf8), [
    utf8(`GET /${'a'.repeat(60_000)} HTTP/1.1\r\n\r\n`),
    utf8(`GET / HTTP/1.1\r\n${'x: y\r\n'.repeat(5_000)}\r\n`),
    utf8('POST /api/agents/s/labels HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nffffffff\r\n'),
    utf8('GET /%c0%ae%c0%ae/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nhost: a\r\n\r\n'),
  ]),
];
