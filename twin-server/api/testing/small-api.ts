import { httpAccess } from '@twinwatch/core/config/http-access';
import type { ServerState } from '@twinwatch/core/wire/http';
import type { FastifyInstance } from 'fastify';
import { ChangeFeed } from '../change-feed.js';
import { type ApiOptions, createApi } from '../http.js';
import { TelemetryHistory } from '../telemetry-history.js';

export const STATE: ServerState = {
  ...{ federation: 'test', phase: 'rounds', activity: 'round 1 of 2', progress: 0, roundsPlanned: 2 },
  ...{ agents: [], rounds: [], model: null, alarms: [], decisions: [], refusedMessages: [], registry: null },
};

const unasked = (): never => {
  throw new Error('not asked for here');
};

/**
 * The server's own API before a federation in which nothing happens, but that quarantines are lifted.
 * @param http `http` of a server's file. @returns whose quarantine lifting was allowed, by the name it is kept under.
 */
export async function smallApi(
  http: object,
  given: Partial<ApiOptions> = {},
): Promise<{ readonly app: FastifyInstance; readonly lifted: readonly string[] }> {
  const lifted: string[] = [];
  const app = await createApi({
    ...{ state: () => STATE, changes: new ChangeFeed(), history: new TelemetryHistory(), model: () => null },
    ...{ dashboardDir: '/nowhere', certificate: null, http: httpAccess.parse(http) },
    models: { view: unasked, release: unasked, rollback: unasked },
    clock: { monotonic: () => performance.now() },
    timers: { sleep: () => new Promise(() => undefined), after: () => () => undefined },
    desk: { alarm: unasked, label: unasked, find: () => null },
    liftQuarantine(id, by) {
      lifted.push(by);
      return {
        ...{ id, status: null, eligibleRows: 0, lastRound: null, rejectedUpdates: 3, quarantine: null },
        lastTelemetry: null,
      };
    },
    ...given,
  });
  return { app, lifted };
}
