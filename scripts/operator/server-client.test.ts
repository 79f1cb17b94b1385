import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { httpAccess } from '@twinwatch/core/config/http-access';
import { liftQuarantinePath, type ServerState } from '@twinwatch/core/wire/http';
import { ChangeFeed } from '@twinwatch/twin-server/api/change-feed';
import { createApi, listen } from '@twinwatch/twin-server/api/http';
import { TelemetryHistory } from '@twinwatch/twin-server/api/telemetry-history';
import { expect, it } from 'vitest';
import { systemClock, systemTimers } from '../processes/node-runtime.js';
import { serverClient } from './server-client.js';

const STATE: ServerState = {
  ...{ federation: 'test', phase: 'rounds', activity: 'round 1 of 2', progress: 0, roundsPlanned: 2 },
  ...{ agents: [], rounds: [], model: null, alarms: [], decisions: [], refusedMessages: [], registry: null },
};

it('logs in to a server with operators, decides as who is logged in, and says what is missing', async () => {
  const unused = (): never => {
    throw new Error('not asked for');
  };
  const lifted: string[] = [];
  const app = await createApi({
    ...{
      state: () => STATE,
      changes: new ChangeFeed(),
      history: new TelemetryHistory(),
      model: () => null,
      dashboardDir: '/nowhere',
      certificate: null,
    },
    http: httpAccess.parse({ operators: [{ name: 'Ada', password: 'correct horse' }] }),
    ...{ clock: systemClock, timers: systemTimers, desk: { alarm: unused, label: unused, find: () => null } },
    models: { view: unused, release: unused, rollback: unused },
    liftQuarantine(id, by) {
      lifted.push(by);
      return {
        ...{ id, status: null, eligibleRows: 0, lastRound: null, rejectedUpdates: 3, quarantine: null },
        lastTelemetry: null,
      };
    },
  });
  const directory = await mkdtemp(join(tmpdir(), 'twinwatch-login-'));
  const passwordFile = join(directory, 'password');
  await writeFile(passwordFile, 'correct horse\n');
  const server = `http://127.0.0.1:${await listen(app, '127.0.0.1', 0)}`;
  try {
    const refusal = (login: object) => expect(serverClient({ server, ...login }).state()).rejects;
    await refusal({}).toMatchObject({ code: 'CLI_SERVER_REFUSED', message: expect.stringContaining('--as NAME') });
    await refusal({ as: 'Ada' }).toMatchObject({
      code: 'CLI_USAGE',
      message: expect.stringContaining('--password-file'),
    });
    await refusal({ as: 'Eve', passwordFile }).toMatchObject({ message: expect.stringContaining('API_LOGIN_REFUSED') });
    const client = serverClient({ server, as: 'Ada', passwordFile });
    expect(await client.state()).toMatchObject({ federation: 'test' });
    await client.change(liftQuarantinePath('site-1'), { by: 'somebody else' });
    expect(lifted).toEqual(['Ada']);
  } finally {
    await app.close();
    await rm(directory, { recursive: true });
  }
});
