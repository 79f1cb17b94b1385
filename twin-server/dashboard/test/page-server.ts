import { httpAccess } from '@twinwatch/core/config/http-access';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { DecisionView, ServerEvents, ServerState } from '@twinwatch/core/wire/http';
import { ChangeFeed } from '../../api/change-feed.js';
import { createApi, listen } from '../../api/http.js';
import { TelemetryHistory } from '../../api/telemetry-history.js';

/** The twin-server's own API on loopback, with a state and changes that the test hands in. */
export interface PageServer {
  readonly url: string;
  readonly port: number;
  /** Made on the page, oldest first. */
  readonly decisions: DecisionView[];
  send<Name extends keyof ServerEvents>(name: Name, data: ServerEvents[Name]): void;
  close(): Promise<void>;
}

/** @param access `http` of a server's file. */
export async function startPageServer(
  dashboardDir: string,
  state: () => ServerState,
  port = 0,
  access: object = {},
): Promise<PageServer> {
  const changes = new ChangeFeed();
  const history = new TelemetryHistory();
  const decisions: DecisionView[] = [];
  const app = await createApi({
    state,
    changes,
    history,
    model: (version) => (version === state().model?.modelVersion ? new TextEncoder().encode('onnx bytes') : null),
    dashboardDir,
    ...{ http: httpAccess.parse(access), certificate: null, clock: { monotonic: () => performance.now() } },
    desk: {
      alarm(alarmId, action, { by }) {
        if (by === 'nobody') throw new TwinwatchError('API_UNKNOWN_ALARM', `there is no alarm '${alarmId}' here`);
        const decision = {
          ...{ commandId: `c${decisions.length + 1}`, agent: alarmId.split(':')[0]!, action, alarmId, range: null },
          ...{ shelveMs: null, by, atMs: decisions.length, answer: null },
        };
        decisions.push(decision);
        return decision;
      },
      label: () => {
        throw new Error('the page labels no ranges');
      },
      find: () => null,
    },
    models: {
      view: () => ({ current: null, candidate: null, models: [] }),
      release: () => {
        throw new Error('the page releases no models');
      },
      rollback: () => {
        throw new Error('the page rolls no models back');
      },
    },
    liftQuarantine: () => {
      throw new Error('the page lifts no quarantine');
    },
    timers: {
      sleep: () => Promise.reject(new Error('the API waits for nothing')),
      after: (_name, ms, callback) => {
        const timer = setTimeout(callback, ms);
        return () => clearTimeout(timer);
      },
    },
  });
  const bound = await listen(app, '127.0.0.1', port);
  return {
    url: `http://127.0.0.1:${bound}/`,
    port: bound,
    decisions,
    send: (name, data) => {
      if (name === 'telemetry') {
        const { agent, telemetry } = data as ServerEvents['telemetry'];
        history.add(agent, telemetry);
      }
      changes.publish(name, data);
    },
    close: async () => {
      await app.close();
    },
  };
}
