import type { SessionView } from '@twinwatch/core/wire/http';
import { type FormEvent, useState } from 'react';
import { logIn } from '../session.js';
import { TwinMark } from './marks.js';

/** Name and password, for a server that has operators. */
export function Login({ onEntered }: { readonly onEntered: (session: SessionView) => void }) {
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState<string | null>(null);
  const enter = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget);
    setBusy(true);
    setFault(null);
    try {
      onEntered(await logIn(String(fields.get('name')), String(fields.get('password'))));
    } catch (error) {
      setFault((error as Error).message);
      setBusy(false);
    }
  };
  return (
    <main className="login">
      <form className="panel" onSubmit={enter}>
        <div className="title">
          <TwinMark />
          <h1>Twinwatch</h1>
        </div>
        <label>
          Name
          <input name="name" maxLength={64} autoComplete="username" required />
        </label>
        <label>
          Password
          <input name="password" type="password" maxLength={256} autoComplete="current-password" required />
        </label>
        <button type="submit" disabled={busy}>
          Log in
        </button>
        {fault !== null && (
          <p role="alert" className="warn">
            {fault}
          </p>
        )}
      </form>
    </main>
  );
}
