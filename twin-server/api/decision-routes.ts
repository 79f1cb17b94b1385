import { type ErrorCode, TwinwatchError } from '@twinwatch/core/errors';
import type { AgentView, AlarmDecisionRequest, LabelRequest, LiftRequest } from '@twinwatch/core/wire/http';
import type { AlarmAction } from '@twinwatch/core/wire/messages';
import type { FastifyInstance } from 'fastify';
import { type ZodType, z } from 'zod';
import type { DecisionDesk } from '../decisions/decision-desk.js';
import { crossSiteFault } from './cross-site.js';

export interface DecisionRoutesOptions {
  readonly desk: Pick<DecisionDesk, 'alarm' | 'label' | 'find'>;
  /** @throws TwinwatchError API_UNKNOWN_AGENT */
  readonly liftQuarantine: (agent: string, by: string) => AgentView;
  /** http.host of the configuration. */
  readonly host: string;
}

const MAXIMUM_BODY_BYTES = 16 * 1024;
const LONGEST_SHELVE_MS = 366 * 86_400_000;

const by = z.string().trim().min(1).max(64);
const commandId = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1 to 64 letters, digits, _ or -');
const timeMs = z.int();
const action = z.enum(['acknowledge', 'shelve', 'unshelve', 'confirm', 'dismiss']) satisfies ZodType<AlarmAction>;

const decision = z.strictObject({ by, commandId: commandId.optional() });
const shelving = decision.extend({ shelveMs: z.int().min(1).max(LONGEST_SHELVE_MS) });
const lifting = z.strictObject({ by });
const labelling = decision
  .extend({ fromMs: timeMs, toMs: timeMs, label: z.enum(['normal', 'anomalous']) })
  .refine(({ fromMs, toMs }) => fromMs <= toMs, { path: ['toMs'], message: 'must not be before fromMs' });

const STATUS: Partial<Record<ErrorCode, number>> = {
  API_CROSS_SITE: 403,
  API_REQUEST_INVALID: 400,
  API_UNKNOWN_ALARM: 404,
  API_UNKNOWN_AGENT: 404,
  API_UNKNOWN_DECISION: 404,
  API_COMMAND_REUSED: 409,
  API_TOO_MANY_WAITING: 429,
};

/**
 * The requests that change something. What an agent has to do is answered with the decision as it is journalled: 202 while that agent has not
 * answered. What is refused is answered with code and reason.
 */
export function decisionRoutes(
  app: FastifyInstance,
  { desk, liftQuarantine, host }: DecisionRoutesOptions,
  done: () => void,
): void {
  // Fastify would read text/plain, which a form of another site may send.
  app.removeContentTypeParser('text/plain');
  app.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) => {
    const code = error instanceof TwinwatchError ? error.code : 'API_REQUEST_INVALID';
    const status = error instanceof TwinwatchError ? (STATUS[error.code] ?? 500) : (error.statusCode ?? 500);
    return reply.code(status).send({ code, error: error.message });
  });
  app.addHook('onRequest', async (request) => {
    if (request.method === 'GET' || request.method === 'HEAD') return;
    const fault = crossSiteFault(request.headers, host);
    if (fault !== null) throw new TwinwatchError('API_CROSS_SITE', `this request is refused: ${fault}`);
  });
  const bodyLimit = MAXIMUM_BODY_BYTES;
  app.post<{ Params: { id: string; action: string } }>(
    '/api/alarms/:id/:action',
    { bodyLimit },
    async ({ params, body }, reply) => {
      const wanted = checked(action, params.action, 'action');
      const request: AlarmDecisionRequest = checked(wanted === 'shelve' ? shelving : decision, body, 'body');
      return reply.code(202).send(desk.alarm(params.id, wanted, request));
    },
  );
  app.post<{ Params: { id: string } }>('/api/agents/:id/labels', { bodyLimit }, async ({ params, body }, reply) => {
    const request: LabelRequest = checked(labelling, body, 'body');
    return reply.code(202).send(desk.label(params.id, request));
  });
  app.post<{ Params: { id: string } }>('/api/agents/:id/quarantine/lift', { bodyLimit }, async ({ params, body }) => {
    const request: LiftRequest = checked(lifting, body, 'body');
    return liftQuarantine(params.id, request.by);
  });
  app.get<{ Params: { id: string } }>('/api/decisions/:id', async ({ params }, reply) => {
    const found = desk.find(params.id);
    if (found === null) throw new TwinwatchError('API_UNKNOWN_DECISION', `there is no decision '${params.id}' here`);
    return reply.header('cache-control', 'no-store').send(found);
  });
  done();
}

function checked<T>(schema: ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const words = result.error.issues.slice(0, 5).map(({ path, message }) => `${path.join('.') || what}: ${message}`);
  throw new TwinwatchError('API_REQUEST_INVALID', `the request has wrong fields: ${words.join('; ')}`);
}
