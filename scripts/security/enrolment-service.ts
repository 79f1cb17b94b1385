import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { Logger } from '@twinwatch/core/runtime';
import { certificateNameIn } from '@twinwatch/core/security/certificate-name';
import { publicKeyOfRequest } from '@twinwatch/core/security/certificates';
import { joinRequest, renewRequest } from '@twinwatch/core/security/enrolment-messages';
import { readToken } from '@twinwatch/core/security/join-token';
import type { z } from 'zod';
import { admitMember, publicPart, refuseMember } from './enrol.js';
import { CERTIFICATE_DAYS, DAY_MS, type FederationDirectory } from './federation-directory.js';
import { alone } from './private-files.js';
import { spendToken } from './tokens.js';

/**
 * Over HTTPS, on the server's machine: gives devices certificates for keys that they made themselves.
 *   GET  /v1/ca     the authorities, for a device that holds a fingerprint of one
 *   POST /v1/join   {token, request, publicKey} → a membership; a token counts once
 *   GET  /v1/trust  with the certificate of a member: what it should trust
 *   POST /v1/renew  with the certificate of a member: {request, publicKey?} → a membership
 */

const MAXIMUM_BODY_BYTES = 16 * 1024;
const REQUEST_TIMEOUT_MS = 10_000;
/** Of one address, within the window. Renewals of many agents behind one address have to fit. */
const WINDOW_MS = 60_000;
const REQUESTS_PER_WINDOW = 300;
const FAILURES_PER_WINDOW = 10;
const MAXIMUM_ADDRESSES = 10_000;
/** Of one agent: every certificate is kept until it ends, and makes the server read its members again. */
const RENEWALS_PER_DAY = 10;
const LOOK_MS = 500;

export interface EnrolmentService {
  readonly port: number;
  close(): Promise<void>;
}

export interface EnrolmentOptions {
  readonly directory: FederationDirectory;
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly now: () => number;
  readonly log: Logger;
}

/** @throws TwinwatchError SECURITY_FILE_*; the error of listening. */
export async function startEnrolment(options: EnrolmentOptions): Promise<EnrolmentService> {
  const { directory, log, now } = options;
  const files = ['certificate.pem', 'key.pem', 'ca.pem'].map((name) => directory.file('server', name));
  const context = () => {
    const [cert, key, ca] = files.map((file) => readFileSync(file, 'utf8'));
    return { cert: cert!, key: key!, ca: ca!, minVersion: 'TLSv1.2' as const };
  };
  const limits = new Attempts(now);
  const server = createServer({ ...context(), requestCert: true, rejectUnauthorized: false }, (request, response) => {
    const address = request.socket.remoteAddress ?? 'unknown';
    // Only a token can be guessed: an agent that was revoked, and goes on asking, must not shut out others behind its address.
    const isGuess = request.url === '/v1/join';
    if (!limits.mayAsk(address, isGuess)) {
      answer(response, 429, { code: 'SECURITY_ENROLMENT_FAILED', message: 'too many attempts; wait a minute' });
      return;
    }
    handle(options, request).then(
      (body) => answer(response, 200, body),
      (error: unknown) => {
        if (isGuess) limits.failed(address);
        const { code, message } = error instanceof TwinwatchError ? error : { code: 'INTERNAL', message: 'it failed' };
        log.warn({ address, path: request.url, code, reason: String(error) }, 'enrolment refused');
        answer(response, code === 'INTERNAL' ? 500 : 403, { code, message });
      },
    );
  });
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  server.headersTimeout = REQUEST_TIMEOUT_MS;
  server.maxConnections = 256;
  const reload = () => {
    try {
      server.setSecureContext(context());
      log.info({}, 'the certificate was read anew');
    } catch (error) {
      log.error({ error: String(error) }, 'the changed certificate is not taken up, the one before goes on');
    }
  };
  for (const file of files) watchFile(file, { interval: LOOK_MS, persistent: false }, reload);
  const port = await listenOn(server, options);
  return {
    port,
    close() {
      for (const file of files) unwatchFile(file, reload);
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

async function handle({ directory, now, log }: EnrolmentOptions, request: IncomingMessage): Promise<object> {
  switch (`${request.method} ${request.url}`) {
    case 'GET /v1/ca':
      return { ca: await directory.trustedCa() };
    case 'POST /v1/join': {
      const { token, request: csr, publicKey } = await bodyOf(request, joinRequest);
      // Before the token is spent: a device that sent nonsense may try again.
      const tlsKeyDer = await publicKeyOfRequest(csr);
      return alone(directory.path, async () => {
        const { agent, again } = await spendToken(directory, readToken(token), now());
        await refuseMember(directory, agent, again);
        log.info({ agent }, 'joined by token');
        return { agent, ...(await admitMember(directory, { agent, tlsKeyDer, publicKey }, now())) };
      });
    }
    case 'GET /v1/trust':
      await memberOf(directory, request);
      return publicPart(directory);
    case 'POST /v1/renew': {
      const { request: csr, publicKey } = await bodyOf(request, renewRequest);
      const tlsKeyDer = await publicKeyOfRequest(csr);
      return alone(directory.path, async () => {
        const agent = await memberOf(directory, request);
        await refuseInsatiable(directory, agent, now());
        log.info({ agent }, 'certificate renewed');
        return { agent, ...(await admitMember(directory, { agent, tlsKeyDer, publicKey }, now())) };
      });
    }
    default:
      throw new TwinwatchError('SECURITY_ENROLMENT_FAILED', 'there is nothing of that name here');
  }
}

/** The agent whose certificate the connection shows, where it still counts. */
async function memberOf(directory: FederationDirectory, request: IncomingMessage): Promise<string> {
  const socket = request.socket as TLSSocket;
  const certificate = socket.authorized ? socket.getPeerX509Certificate() : undefined;
  const named = certificateNameIn(certificate?.subjectAltName);
  const { name } = await directory.federation();
  if (certificate !== undefined && named?.role === 'agent' && named.federation === name) {
    const record = await directory.record(named.name);
    const issued = record?.certificates.find(({ serial }) => serial === certificate.serialNumber);
    if (record?.revokedAtMs === null && issued?.revokedAtMs === null) return named.name;
  }
  throw new TwinwatchError(
    'SECURITY_ENROLMENT_FAILED',
    'the certificate is not that of a member; enrol the agent anew',
  );
}

async function refuseInsatiable(directory: FederationDirectory, agent: string, nowMs: number): Promise<void> {
  const { certificates = [] } = (await directory.record(agent)) ?? {};
  const recent = certificates.filter(({ notAfterMs }) => notAfterMs > nowMs + (CERTIFICATE_DAYS - 1) * DAY_MS);
  if (recent.length > RENEWALS_PER_DAY)
    throw new TwinwatchError(
      'SECURITY_ENROLMENT_FAILED',
      `more than ${RENEWALS_PER_DAY} certificates within a day; see whether the agent can write its identity directory, and try again tomorrow`,
    );
}

async function bodyOf<S extends z.ZodType>(request: IncomingMessage, schema: S): Promise<z.output<S>> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAXIMUM_BODY_BYTES) throw new TwinwatchError('SECURITY_ENROLMENT_FAILED', 'the request is too large');
    chunks.push(chunk);
  }
  try {
    return schema.parse(JSON.parse(Buffer.concat(chunks).toString('utf8')));
  } catch {
    throw new TwinwatchError('SECURITY_ENROLMENT_FAILED', 'the request has missing or wrong fields');
  }
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', connection: 'close' });
  response.end(JSON.stringify(body));
}

/** How often an address has asked, and failed, within the last window. */
class Attempts {
  readonly #now: () => number;
  readonly #counts = new Map<string, { asked: number; failed: number }>();
  #sinceMs: number;

  constructor(now: () => number) {
    this.#now = now;
    this.#sinceMs = now();
  }

  mayAsk(address: string, isGuess: boolean): boolean {
    if (this.#now() - this.#sinceMs >= WINDOW_MS || this.#counts.size >= MAXIMUM_ADDRESSES) {
      this.#counts.clear();
      this.#sinceMs = this.#now();
    }
    const count = this.#counts.get(address) ?? { asked: 0, failed: 0 };
    this.#counts.set(address, count);
    count.asked++;
    return count.asked <= REQUESTS_PER_WINDOW && !(isGuess && count.failed >= FAILURES_PER_WINDOW);
  }

  failed(address: string): void {
    const count = this.#counts.get(address);
    if (count !== undefined) count.failed++;
  }
}

function listenOn(server: Server, { host, port }: EnrolmentOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => resolve((server.address() as { port: number }).port));
  });
}
