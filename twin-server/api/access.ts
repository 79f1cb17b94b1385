import fastifyCookie from '@fastify/cookie';
import fastifyRateLimit from '@fastify/rate-limit';
import type { HttpAccess } from '@twinwatch/core/config/http-access';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { Clock } from '@twinwatch/core/runtime';
import { LockOut } from '@twinwatch/core/security/lock-out';
import { PasswordChecks } from '@twinwatch/core/security/passwords';
import { LOGIN_PATH, LOGOUT_PATH, type LoginRequest, SESSION_PATH, type SessionView } from '@twinwatch/core/wire/http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { crossSiteFault, foreignHostFault } from './cross-site.js';
import { refusal } from './refusal.js';
import { type Operator, Sessions } from './sessions.js';

export interface AccessOptions {
  readonly http: HttpAccess;
  readonly clock: Pick<Clock, 'monotonic'>;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Who is logged in; null where the server has no operators, and anybody may do anything. */
    operator: Operator | null;
  }
}

const COOKIE = 'twinwatch-session';
const MAXIMUM_BODY_BYTES = 4 * 1024;
/** A process that watches the server has no password. */
const OPEN_PATHS = ['/api/health', LOGIN_PATH, SESSION_PATH];
const login = z.strictObject({ name: z.string().max(64), password: z.string().max(256) });

/**
 * Lets in who is logged in, and only operators change anything; everybody where the server has no operators. The page's files are nobody's secret.
 * To be registered before any route.
 */
export async function guardAccess(app: FastifyInstance, { http, clock }: AccessOptions): Promise<void> {
  await app.register(fastifyCookie);
  await app.register(fastifyRateLimit, {
    max: http.requestsPerMinute,
    timeWindow: '1 minute',
    errorResponseBuilder: (_request, { after }) =>
      new TwinwatchError('API_TOO_MANY_REQUESTS', `too many requests from this address; try again in ${after}`),
  });
  app.decorateRequest('operator', null);
  const own = { configuredHost: http.host, isTls: http.tls !== undefined };
  app.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) => {
    const { status, body } = refusal(error);
    return reply.code(status).send(body);
  });
  app.addHook('onRequest', async (request) => {
    const { method, headers } = request;
    const reads = method === 'GET' || method === 'HEAD';
    // Where there are operators, a foreign name has no session: browsers keep cookies by name.
    if (reads && (http.operators !== undefined || !isConfidential(request))) return;
    const fault = reads ? foreignHostFault(headers, own) : crossSiteFault(headers, own);
    if (fault !== null) throw new TwinwatchError('API_CROSS_SITE', `this request is refused: ${fault}`);
  });
  const sessions = new Sessions(http.session, http.longestSession);
  sessionRoutes(app, { http, clock }, sessions);
  if (http.operators === undefined) return;
  app.addHook('onRequest', async (request) => {
    const path = pathOf(request);
    request.operator = sessions.operator(request.cookies[COOKIE] ?? '', clock.monotonic());
    if (!isConfidential(request)) return;
    if (request.operator === null)
      throw new TwinwatchError(
        'API_LOGIN_REQUIRED',
        'log in first: on the page, or in a terminal with --as NAME --password-file FILE',
      );
    if (
      request.operator.role === 'viewer' &&
      request.method !== 'GET' &&
      request.method !== 'HEAD' &&
      path !== LOGOUT_PATH
    )
      throw new TwinwatchError('API_NOT_ALLOWED', `${request.operator.name} may look, and change nothing`);
  });
}

/** As the route is written: a request may write it with escapes. */
function pathOf(request: FastifyRequest): string {
  return request.routeOptions.url ?? '';
}

function isConfidential(request: FastifyRequest): boolean {
  const path = pathOf(request);
  return path.startsWith('/api/') && !OPEN_PATHS.includes(path);
}

/** The name that a decision is kept under: of who is logged in, whatever the request says. */
export function decidedBy(request: FastifyRequest, by: string): string {
  return request.operator?.name ?? by;
}

function sessionRoutes(app: FastifyInstance, { http, clock }: AccessOptions, sessions: Sessions): void {
  const operators = new Map((http.operators ?? []).map((entry) => [entry.name, entry]));
  const checks = new PasswordChecks([...operators.values()].map(({ password }) => password));
  const lockOut = new LockOut(http.lockOut);
  const view = (operator: Operator | null): SessionView => ({ isRequired: http.operators !== undefined, operator });
  const refuse = (): never => {
    throw new TwinwatchError(
      'API_LOGIN_REFUSED',
      'name or password are wrong, or there were too many wrong ones before',
    );
  };
  app.get(SESSION_PATH, async (request, reply) =>
    reply.header('cache-control', 'no-store').send(view(request.operator)),
  );
  app.post(LOGIN_PATH, { bodyLimit: MAXIMUM_BODY_BYTES }, async (request, reply) => {
    const body = login.safeParse(request.body);
    if (!body.success)
      throw new TwinwatchError('API_REQUEST_INVALID', 'the request must hold name and password, and nothing else');
    const { name, password }: LoginRequest = body.data;
    const attempt = { address: request.ip, username: name, password: Buffer.from(password) };
    const isLocked = () => lockOut.isLocked(attempt, clock.monotonic());
    if (isLocked()) return refuse();
    const entry = operators.get(name);
    const matches = lockOut.isRepeated(attempt)
      ? false
      : await checks.matches(entry?.password, attempt.password, () => !isLocked());
    if (matches === null) return refuse();
    if (entry === undefined || !matches) {
      lockOut.refused(attempt, clock.monotonic());
      return refuse();
    }
    lockOut.accepted(attempt);
    const operator = { name, role: entry.role };
    const options = { path: '/', httpOnly: true, sameSite: 'strict', secure: http.tls !== undefined } as const;
    reply.setCookie(COOKIE, sessions.open(operator, clock.monotonic()), options);
    return reply.send(view(operator));
  });
  app.post(LOGOUT_PATH, { bodyLimit: MAXIMUM_BODY_BYTES }, async (request, reply) => {
    sessions.close(request.cookies[COOKIE] ?? '');
    return reply.clearCookie(COOKIE, { path: '/' }).send(view(null));
  });
}
