import { readFile } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { onnxPath, type ServerEvents, type ServerState } from '@twinwatch/core/wire/http';

/** What the page needs of a twin-server, on loopback: the built files, the state, and a stream that the test feeds. */
export interface FixtureServer {
  readonly url: string;
  readonly port: number;
  send<Name extends keyof ServerEvents>(name: Name, data: ServerEvents[Name]): void;
  close(): Promise<void>;
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

export async function startFixtureServer(pageDir: string, state: () => ServerState, port = 0): Promise<FixtureServer> {
  const streams = new Set<ServerResponse>();
  const server = createServer(async (request, response) => {
    const path = new URL(request.url ?? '/', 'http://fixture').pathname;
    if (path === '/api/events') {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
      response.write(frame('state', state()));
      streams.add(response);
      request.on('close', () => streams.delete(response));
      return;
    }
    if (path === '/api/state') {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(state()));
      return;
    }
    const model = state().model;
    if (model !== null && path === onnxPath(model.modelVersion)) {
      response.writeHead(200, { 'content-type': 'application/octet-stream' }).end('onnx bytes');
      return;
    }
    const file = join(pageDir, normalize(path === '/' ? '/index.html' : path));
    try {
      const body = await readFile(file);
      response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const bound = (server.address() as AddressInfo).port;
  return {
    url: `http://127.0.0.1:${bound}/`,
    port: bound,
    send: (name, data) => {
      for (const stream of streams) stream.write(frame(name, data));
    },
    close: () => closed(server),
  };
}

function frame(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

function closed(server: Server): Promise<void> {
  const done = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  return done;
}
