import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { liftQuarantinePath } from '@twinwatch/core/wire/http';
import { listen } from '@twinwatch/twin-server/api/http';
import { smallApi } from '@twinwatch/twin-server/api/testing/small-api';
import { expect, it } from 'vitest';
import { serverClient } from './server-client.js';

it('logs in to a server with operators, decides as who is logged in, and says what is missing', async () => {
  const { app, lifted } = await smallApi({ operators: [{ name: 'Ada', password: 'correct horse' }] });
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
