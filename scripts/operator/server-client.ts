import { TwinwatchError } from '@twinwatch/core/errors';
import {
  CHANGE_HEADER,
  type DecisionView,
  decisionPath,
  REGISTRY_PATH,
  type RegistryView,
  type ServerState,
} from '@twinwatch/core/wire/http';

/** The twin-server's HTTP API, as operators' commands use it. Every call throws TwinwatchError CLI_SERVER_UNREACHABLE, CLI_SERVER_REFUSED. */
export interface ServerClient {
  state(): Promise<ServerState>;
  registry(): Promise<RegistryView>;
  /** @param path from core/wire/http. */
  decide(path: string, body: object): Promise<DecisionView>;
  /** @param path from core/wire/http. */
  change<T>(path: string, body: object): Promise<T>;
  decision(commandId: string): Promise<DecisionView>;
}

const ANSWER_MS = 10_000;

/** @param server as http://127.0.0.1:8080. */
export function serverClient(server: string): ServerClient {
  if (!URL.canParse(server) || !/^https?:$/.test(new URL(server).protocol))
    throw new TwinwatchError('CLI_USAGE', `'${server}' is not an address; write it as http://127.0.0.1:8080`);
  const request = async <T>(path: string, init: RequestInit = {}): Promise<T> => {
    const url = new URL(path, server);
    const response = await fetch(url, { ...init, signal: AbortSignal.timeout(ANSWER_MS) }).catch((cause: unknown) => {
      throw unreachable(url.origin, (cause as { cause?: Error }).cause?.message ?? String(cause), cause);
    });
    const text = await response.text();
    let answer: unknown;
    try {
      answer = JSON.parse(text);
    } catch (cause) {
      throw unreachable(url.origin, `it answers HTTP ${response.status} without JSON, so it is something else`, cause);
    }
    if (response.ok) return answer as T;
    const { code = `HTTP ${response.status}`, error = text } = answer as { code?: string; error?: string };
    throw new TwinwatchError('CLI_SERVER_REFUSED', `the server refused: ${error} (${code})`, { context: { code } });
  };
  const change = <T>(path: string, body: object) =>
    request<T>(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', [CHANGE_HEADER.name]: CHANGE_HEADER.value },
      body: JSON.stringify(body),
    });
  return {
    state: () => request('/api/state'),
    registry: () => request(REGISTRY_PATH),
    change,
    decide: (path, body) => change<DecisionView>(path, body),
    decision: (commandId) => request(decisionPath(commandId)),
  };
}

function unreachable(origin: string, reason: string, cause: unknown): TwinwatchError {
  return new TwinwatchError(
    'CLI_SERVER_UNREACHABLE',
    `no twin-server answers at ${origin}: ${reason}; start it, or give its address with --server`,
    { cause, retryable: true },
  );
}
