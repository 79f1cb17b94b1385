import { TwinwatchError } from '@twinwatch/core/errors';
import type { AlarmAction } from '@twinwatch/core/wire/commands';
import {
  type AgentView,
  type AlarmDecisionRequest,
  type LabelRequest,
  type LiftRequest,
  type ModelDecisionRequest,
  REGISTRY_PATH,
  type RegistryView,
  ROLLBACK_PATH,
} from '@twinwatch/core/wire/http';
import type { FastifyInstance } from 'fastify';
import { type ZodType, z } from 'zod';
import type { DecisionDesk } from '../decisions/decision-desk.js';
import { decidedBy } from './access.js';

export interface DecisionRoutesOptions {
  readonly desk: Pick<DecisionDesk, 'alarm' | 'label' | 'find'>;
  /** @throws TwinwatchError API_UNKNOWN_AGENT */
  readonly liftQuarantine: (agent: string, by: string) => AgentView;
  readonly models: {
    readonly view: () => RegistryView;
    /** Both throw TwinwatchError API_UNKNOWN_MODEL. */
    readonly release: (version: string, by: string) => RegistryView;
    readonly rollback: (version: string | null, by: string, reason: string) => RegistryView;
  };
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
const modelDecision = z.strictObject({
  by,
  version: z.string().min(1).max(128).optional(),
  reason: z.string().trim().max(500).optional(),
});
const labelling = decision
  .extend({ fromMs: timeMs, toMs: timeMs, label: z.enum(['normal', 'anomalous']) })
  .refine(({ fromMs, toMs }) => fromMs <= toMs, { path: ['toMs'], message: 'must not be before fromMs' });

/**
 * The requests that change something. What an agent has to do is answered with the decision as it is journalled: 202 while that agent has not
 * answered. What is refused is answered with code and reason.
 */
export function decisionRoutes(
  app: FastifyInstance,
  { desk, liftQuarantine, models }: DecisionRoutesOptions,
  done: () => void,
): void {
  // Fastify would read text/plain, which a form of another site may send.
  app.removeContentTypeParser('text/plain');
  const bodyLimit = MAXIMUM_BODY_BYTES;
  app.post<{ Params: { id: string; action: string } }>(
    '/api/alarms/:id/:action',
    { bodyLimit },
    async (request, reply) => {
      const { params, body } = request;
      const wanted = checked(action, params.action, 'action');
      const asked: AlarmDecisionRequest = checked(wanted === 'shelve' ? shelving : decision, body, 'body');
      return reply.code(202).send(desk.alarm(params.id, wanted, { ...asked, by: decidedBy(request, asked.by) }));
    },
  );
  app.post<{ Params: { id: string } }>('/api/agents/:id/labels', { bodyLimit }, async (request, reply) => {
    const asked: LabelRequest = checked(labelling, request.body, 'body');
    return reply.code(202).send(desk.label(request.params.id, { ...asked, by: decidedBy(request, asked.by) }));
  });
  app.post<{ Params: { id: string } }>('/api/agents/:id/quarantine/lift', { bodyLimit }, async (request) => {
    const asked: LiftRequest = checked(lifting, request.body, 'body');
    return liftQuarantine(request.params.id, decidedBy(request, asked.by));
  });
  app.get(REGISTRY_PATH, async (_request, reply) => reply.header('cache-control', 'no-store').send(models.view()));
  app.post<{ Params: { version: string } }>('/api/models/:version/release', { bodyLimit }, async (request) => {
    const asked: ModelDecisionRequest = checked(modelDecision, request.body, 'body');
    return models.release(request.params.version, decidedBy(request, asked.by));
  });
  app.post(ROLLBACK_PATH, { bodyLimit }, async (request) => {
    const asked: ModelDecisionRequest = checked(modelDecision, request.body, 'body');
    const { version = null, reason = 'no reason was given' } = asked;
    return models.rollback(version, decidedBy(request, asked.by), reason);
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
