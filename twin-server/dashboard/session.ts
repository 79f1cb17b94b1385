import { CHANGE_HEADER, LOGIN_PATH, LOGOUT_PATH, SESSION_PATH, type SessionView } from '@twinwatch/core/wire/http';

/** Null where the server does not answer. */
export async function readSession(): Promise<SessionView | null> {
  const response = await fetch(SESSION_PATH).catch(() => null);
  return response?.ok ? ((await response.json()) as SessionView) : null;
}

/** @throws Error in words for the person where the server cannot be reached or refuses. */
export async function logIn(name: string, password: string): Promise<SessionView> {
  const response = await post(LOGIN_PATH, { name, password });
  const answer = (await response.json().catch(() => ({}))) as SessionView & { readonly error?: string };
  if (response.ok) return answer;
  throw new Error(answer.error ?? `Refused: HTTP ${response.status}`);
}

export async function logOut(): Promise<void> {
  await post(LOGOUT_PATH, {});
}

function post(path: string, body: object): Promise<Response> {
  return fetch(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', [CHANGE_HEADER.name]: CHANGE_HEADER.value },
    body: JSON.stringify(body),
  }).catch(() => {
    throw new Error('The server does not answer.');
  });
}
