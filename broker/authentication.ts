import type { Socket } from 'node:net';
import type { BrokerCredential } from '@twinwatch/core/config/broker';
import type { Clock, Logger } from '@twinwatch/core/runtime';
import { LockOut, type LockOutLimits } from '@twinwatch/core/security/lock-out';
import { PasswordChecks } from '@twinwatch/core/security/passwords';
import type { BrokerCounters } from './counters.js';
import type { Identity } from './rights.js';

/** What a client shows of itself when it connects. */
export interface Introduction {
  readonly clientId: string;
  readonly username: string | undefined;
  readonly password: Buffer | undefined;
  readonly connection: Socket;
  /** Of the peer. */
  readonly address: string;
  /** Whether it still waits for an answer. */
  readonly isWaiting: () => boolean;
}

/** Who it is; null where it may not come in. Counts and logs what it refuses. */
export type Identify = (introduction: Introduction) => Promise<Identity | null>;

export interface AuthenticationOptions {
  /** Everybody may come in where absent. */
  readonly credentials: readonly BrokerCredential[] | undefined;
  readonly lockOut: LockOutLimits;
  readonly counters: BrokerCounters;
  readonly clock: Clock;
  readonly log: Logger;
}

/** By user name and password. */
export function passwordIdentities(options: AuthenticationOptions): Identify {
  const { credentials, counters, clock, log } = options;
  if (credentials === undefined) return async () => ({ role: 'anonymous' });
  const entries = new Map(credentials.map((entry) => [entry.username, entry]));
  const checks = new PasswordChecks(credentials.map(({ password }) => password));
  const lockOut = new LockOut(options.lockOut);
  return async ({ clientId, username = '', password = Buffer.alloc(0), address, isWaiting }) => {
    const attempt = { address, username: username.slice(0, 256), password };
    const isLocked = () => lockOut.isLocked(attempt, clock.monotonic());
    const context = { client: clientId, username: attempt.username, address };
    const refuseUnseen = () => {
      counters.lockedOut++;
      log.debug(context, 'too many wrong passwords before: refused');
      return null;
    };
    if (isLocked()) return refuseUnseen();
    const entry = entries.get(username);
    const repeated = lockOut.isRepeated(attempt);
    // Of many attempts at once, those whose turn comes when others have failed are locked out, too.
    const wanted = () => isWaiting() && !isLocked();
    const matches = repeated ? false : await checks.matches(entry?.password, password, wanted);
    if (matches === null) return isLocked() ? refuseUnseen() : null;
    if (entry !== undefined && matches) {
      lockOut.accepted(attempt);
      return identityOf(entry);
    }
    lockOut.refused(attempt, clock.monotonic());
    counters.refusedConnections++;
    if (repeated) log.debug(context, 'the same wrong password again');
    else log.warn(context, 'wrong user name or password');
    return null;
  };
}

function identityOf({ role, agent = '' }: BrokerCredential): Identity {
  return role === 'agent' ? { role, agent } : { role };
}
