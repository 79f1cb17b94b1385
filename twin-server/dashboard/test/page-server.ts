import type { ServerEvents, ServerState } from '@twinwatch/core/wire/http';
import { ChangeFeed } from '../../api/change-feed.js';
import { createApi, listen } from '../../api/http.js';

/** The twin-server's own API on loopback, with a state and changes that the test hands in. */
export interface PageServer {
  readonly url: string;
  readonly port: number;
  send<Name extends keyof ServerEvents>(name: Name, data: ServerEvents[Name]): void;
  close(): Promise<void>;
}

export async function startPageServer(dashboardDir: string, state: () => ServerState, port = 0): Promise<PageServer> {
  const changes = new ChangeFeed();
  const app = await createApi({
    state,
    changes,
    model: (version) => (version === state().model?.modelVersion ? new TextEncoder().encode('onnx bytes') : null),
    dashboardDir,
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
    send: (name, data) => changes.publish(name, data),
    close: async () => {
      await app.close();
    },
  };
}
