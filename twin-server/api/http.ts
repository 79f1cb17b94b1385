import { existsSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import fastifyStatic from '@fastify/static';
import type { HttpAccess } from '@twinwatch/core/config/http-access';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { Clock, Timers } from '@twinwatch/core/runtime';
import type { ServerEvents, ServerState } from '@twinwatch/core/wire/http';
import Fastify, { type FastifyInstance } from 'fastify';
import { guardAccess } from './access.js';
import type { ChangeFeed } from './change-feed.js';
import { type DecisionRoutesOptions, decisionRoutes } from './decision-routes.js';
import { certificateMetrics, roundMetrics } from './metrics.js';
import type { TelemetryHistory } from './telemetry-history.js';

export interface ApiOptions extends DecisionRoutesOptions {
  readonly http: HttpAccess;
  /** PEM of `http.tls`; null for plain HTTP. */
  readonly certificate: { readonly cert: string; readonly key: string } | null;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly state: () => ServerState;
  readonly changes: ChangeFeed;
  readonly history: Pick<TelemetryHistory, 'scores' | 'of'>;
  /** The ONNX file of a released model; null where it is unknown or no longer kept. */
  readonly model: (modelVersion: string) => Uint8Array | null;
  /** The built page; not served where the folder is absent. */
  readonly dashboardDir: string;
  readonly timers: Timers;
}

/** Proxies and browsers close a stream that stays silent. */
const HEARTBEAT_MS = 15_000;
/** A page that does not read fast enough is cut off; it connects again and starts from the whole state. */
const MAXIMUM_BACKLOG_BYTES = 4 * 1024 * 1024;
const MAXIMUM_STREAMS = 64;

const HEADERS = {
  'content-security-policy':
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
} as const;

/** The HTTP API and the page. Only decision-routes.ts changes anything. */
export async function createApi(options: ApiOptions): Promise<FastifyInstance> {
  const app = newApp(options.certificate);
  app.addHook('onRequest', async (_request, reply) => {
    reply.headers(HEADERS);
  });
  await guardAccess(app, options);
  app.get('/api/health', async () => {
    const { phase, activity } = options.state();
    return { status: 'ok', phase, activity };
  });
  app.get('/api/state', async (_request, reply) => reply.header('cache-control', 'no-store').send(options.state()));
  app.get<{ Params: { id: string } }>('/api/agents/:id/history', async (request, reply) =>
    reply.header('cache-control', 'no-store').send(options.history.of(request.params.id)),
  );
  app.get('/metrics', async (_request, reply) => {
    const { rounds, certificates = [] } = options.state();
    return reply.type('text/plain; version=0.0.4').send(roundMetrics(rounds) + certificateMetrics(certificates));
  });
  app.get<{ Params: { version: string } }>('/api/models/:version.onnx', async (request, reply) => {
    const { version } = request.params;
    const bytes = options.model(version);
    if (bytes === null) return reply.code(404).send({ error: `there is no model '${version}' here` });
    return reply
      .type('application/octet-stream')
      .header('content-disposition', `attachment; filename="${version.replace(/[^A-Za-z0-9_.-]/g, '_')}.onnx"`)
      .send(Buffer.from(bytes));
  });
  serveEvents(app, options);
  await app.register(decisionRoutes, options);
  if (existsSync(options.dashboardDir)) await app.register(fastifyStatic, { root: options.dashboardDir });
  return app;
}

function newApp(certificate: ApiOptions['certificate']): FastifyInstance {
  const common = { logger: false, forceCloseConnections: true };
  if (certificate === null) return Fastify(common);
  // Its types know an app by its server; nothing here depends on which it is.
  return Fastify({ ...common, https: { ...certificate, minVersion: 'TLSv1.2' } }) as unknown as FastifyInstance;
}

function serveEvents(app: FastifyInstance, { state, history, changes, timers }: ApiOptions): void {
  const streams = new Set<ServerResponse>();
  app.get('/api/events', (_request, reply) => {
    if (streams.size >= MAXIMUM_STREAMS) {
      return reply.code(503).send({ error: `${MAXIMUM_STREAMS} pages are connected already; close one` });
    }
    reply.hijack();
    const stream = reply.raw;
    const headers = { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' };
    stream.writeHead(200, { ...HEADERS, ...headers });
    streams.add(stream);
    const write = (text: string): void => {
      if (stream.writableLength > MAXIMUM_BACKLOG_BYTES) stream.destroy();
      else stream.write(text);
    };
    const send = <K extends keyof ServerEvents>(event: K, data: ServerEvents[K]): void =>
      write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    let cancelBeat: () => void = () => undefined;
    const beat = (): void => {
      cancelBeat = timers.after('sse heartbeat', HEARTBEAT_MS, () => {
        write(': still here\n\n');
        beat();
      });
    };
    const unsubscribe = changes.subscribe(send);
    stream.on('error', () => stream.destroy());
    stream.on('close', () => {
      streams.delete(stream);
      unsubscribe();
      cancelBeat();
    });
    send('state', state());
    send('history', history.scores());
    beat();
    return reply;
  });
  app.addHook('preClose', async () => {
    for (const stream of streams) stream.destroy();
  });
}

/** @returns the port that is listened on. @throws TwinwatchError API_PORT_BUSY */
export async function listen(app: FastifyInstance, host: string, port: number): Promise<number> {
  try {
    await app.listen({ host, port });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw cause;
    throw new TwinwatchError(
      'API_PORT_BUSY',
      `Port ${port} on ${host} is taken by another process; stop it, or set another http.port in server.yaml (0 takes a free one)`,
      { context: { host, port }, cause },
    );
  }
  const address = app.server.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}
