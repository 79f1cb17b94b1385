import { readFile } from 'node:fs/promises';
import { TwinwatchError } from '@twinwatch/core/errors';
import {
  CHANGE_HEADER,
  type DecisionView,
  decisionPath,
  LOGIN_PATH,
  type LoginRequest,
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

export interface ServerOption {
  /** As http://127.0.0.1:8080. */
  readonly server: string;
  /** Name of an operator, for a server that has any. */
  readonly as?: string;
  /** Whose first line is that operator's password. */
  readonly passwordFile?: string;
}

/** Logs in before the first request, where an operator is named. */
export function serverClient({ server, as, passwordFile }: ServerOption): ServerClient {
  if (!URL.canParse(server) || !/^https?:$/.test(new URL(server).protocol))
    throw new TwinwatchError('CLI_USAGE', `'${server}' is not an address; write it as http://127.0.0.1:8080`);
  const send = (path: string, init: RequestInit): Promise<Response> => {
    const url = new URL(path, server);
    return fetch(url, { ...init, signal: AbortSignal.timeout(ANSWER_MS) }).catch((cause: unknown) => {
      throw unreachable(url.origin, (cause as { cause?: Error }).cause?.message ?? String(cause), cause);
    });
  };
  const posted = (body: object): RequestInit => ({
    method: 'POST',
    headers: { 'content-type': 'application/json', [CHANGE_HEADER.name]: CHANGE_HEADER.value },
    body: JSON.stringify(body),
  });
  let session: Promise<string> | null = null;
  const logIn = async (name: string): Promise<string> => {
    const request: LoginRequest = { name, password: await passwordOf(name, passwordFile) };
    const response = await send(LOGIN_PATH, posted(request));
    await read(response);
    return response.headers
      .getSetCookie()
      .map((cookie) => cookie.split(';')[0])
      .join('; ');
  };
  const request = async <T>(path: string, init: RequestInit = {}): Promise<T> => {
    if (as === undefined) return read<T>(await send(path, init));
    session ??= logIn(as);
    const headers = new Headers(init.headers);
    headers.set('cookie', await session);
    return read<T>(await send(path, { ...init, headers }));
  };
  const read = async <T>(response: Response): Promise<T> => {
    const { origin } = new URL(server);
    const text = await response.text();
    let answer: unknown;
    try {
      answer = JSON.parse(text);
    } catch (cause) {
      throw unreachable(origin, `it answers HTTP ${response.status} without JSON, so it is something else`, cause);
    }
    if (response.ok) return answer as T;
    const { code = `HTTP ${response.status}`, error = text } = answer as { code?: string; error?: string };
    throw new TwinwatchError('CLI_SERVER_REFUSED', `the server refused: ${error} (${code})`, { context: { code } });
  };
  const change = <T>(path: string, body: object) => request<T>(path, posted(body));
  return {
    state: () => request('/api/state'),
    registry: () => request(REGISTRY_PATH),
    change,
    decide: (path, body) => change<DecisionView>(path, body),
    decision: (commandId) => request(decisionPath(commandId)),
  };
}

async function passwordOf(name: string, file: string | undefined): Promise<string> {
  if (file === undefined)
    throw new TwinwatchError(
      'CLI_USAGE',
      `the password of '${name}' is missing; name a file that holds it with --password-file`,
    );
  const text = await readFile(file, 'utf8').catch((cause: Error) => {
    throw new TwinwatchError('CLI_USAGE', `cannot read the password of '${name}' in ${file}: ${cause.message}`, {
      cause,
    });
  });
  return text.split(/\r?\n/)[0] ?? '';
}

function unreachable(origin: string, reason: string, cause: unknown): TwinwatchError {
  return new TwinwatchError(
    'CLI_SERVER_UNREACHABLE',
    `no twin-server answers at ${origin}: ${reason}; start it, or give its address with --server`,
    { cause, retryable: true },
  );
}
