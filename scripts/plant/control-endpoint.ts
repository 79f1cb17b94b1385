import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { TwinwatchError } from '@twinwatch/core/errors';
import { isStartAttack, type SiteProgress, type StartAttack } from './plant-messages.js';

/** A loopback door to a plant that was started alone: GET /state, POST /attack {"site", "name"}. */

const LARGEST_BODY_BYTES = 4_096;

export interface Control {
  state(): Readonly<Record<string, SiteProgress>>;
  /** @throws TwinwatchError PLANT_ATTACK_INVALID, PLANT_UNKNOWN_ATTACK */
  startAttack(request: StartAttack): void;
}

/** @throws TwinwatchError PLANT_PORT_TAKEN */
export async function listenControl(port: number, control: Control): Promise<{ close(): Promise<void> }> {
  const server = createServer((request, response) => {
    handle(request, control).then(
      ({ status, body }) => reply(response, status, body),
      (error: Error) => reply(response, 400, { error: error.message }),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new TwinwatchError(
          'PLANT_PORT_TAKEN',
          `the control port 127.0.0.1:${port} is taken; name another under control`,
          {
            cause,
          },
        ),
      ),
    );
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function handle(request: IncomingMessage, control: Control): Promise<{ status: number; body: object }> {
  if (request.method === 'GET' && request.url === '/state') return { status: 200, body: control.state() };
  if (request.method !== 'POST' || request.url !== '/attack')
    return { status: 404, body: { error: 'there are GET /state and POST /attack' } };
  const message: unknown = { ...(JSON.parse(await bodyOf(request)) as object), kind: 'start-attack' };
  if (!isStartAttack(message)) return { status: 400, body: { error: 'send {"site": "…", "name": "…"}' } };
  control.startAttack(message);
  return { status: 202, body: { started: message.name, site: message.site } };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) {
    text += String(chunk);
    if (text.length > LARGEST_BODY_BYTES) throw new Error('the body is too large');
  }
  return text;
}

function reply(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
