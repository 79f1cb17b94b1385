import { createServer } from 'node:http';
import { closeServer, listen } from './connections.js';
import { type BrokerState, prometheusText } from './metrics.js';

export interface MetricsServer {
  readonly port: number;
  close(): Promise<void>;
}

const MAXIMUM_CONNECTIONS = 32;
const REQUEST_TIMEOUT_MS = 10_000;

/**
 * GET /metrics for Prometheus, GET /health for whoever starts and watches processes: 200, or 503 while the disk is full. Nothing can be changed here.
 * @throws TwinwatchError BROKER_PORT_BUSY, BROKER_LISTEN_FAILED.
 */
export async function serveMetrics(host: string, port: number, state: () => BrokerState): Promise<MetricsServer> {
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
    const answer = (status: number, type: string, body: string) => {
      const headers = { 'content-type': type, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };
      response.writeHead(status, headers).end(request.method === 'HEAD' ? undefined : body);
    };
    if (request.method !== 'GET' && request.method !== 'HEAD') answer(405, 'text/plain', 'only GET is answered\n');
    else if (request.url === '/metrics')
      answer(200, 'text/plain; version=0.0.4; charset=utf-8', prometheusText(state()));
    else if (request.url === '/health') {
      const isFull = state().bytesInMemory !== null;
      answer(isFull ? 503 : 200, 'application/json', `${JSON.stringify({ status: isFull ? 'disk full' : 'ok' })}\n`);
    } else answer(404, 'text/plain', 'there are /metrics and /health\n');
  });
  server.maxConnections = MAXIMUM_CONNECTIONS;
  const actualPort = await listen(server, host, port);
  return {
    port: actualPort,
    async close() {
      const closed = closeServer(server);
      server.closeAllConnections();
      await closed;
    },
  };
}
