import type { SessionView } from '@twinwatch/core/wire/http';
import { useCallback, useEffect, useState } from 'react';
import { Page } from './page.js';
import { Login } from './parts/login.js';
import { logOut, readSession } from './session.js';

/** The page for who may see it; a server with operators wants to know who that is. */
export function Door() {
  const [session, setSession] = useState<SessionView | null>(null);
  const look = useCallback(async () => {
    const found = await readSession();
    if (found !== null) setSession(found);
  }, []);
  useEffect(() => void look(), [look]);
  if (session?.isRequired && session.operator === null) return <Login onEntered={setSession} />;
  const leave = () => void logOut().then(look, look);
  // A stream that ends may be a session that has ended.
  return <Page operator={session?.operator ?? null} onLost={look} onLeave={leave} />;
}
