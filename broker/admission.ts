import type { Socket } from 'node:net';
import type { BrokerCredential } from '@twinwatch/core/config/broker';
import type { Logger } from '@twinwatch/core/runtime';
import type { Identify } from './authentication.js';
import type { BrokerCounters } from './counters.js';
import { clientIdFault } from './rights.js';
import { type BrokerTls, certificateHolder } from './tls.js';

/** Who may take part; may change while the broker runs. */
export interface BrokerAccess {
  /** Everybody may come in where absent and certificates are not asked for. */
  readonly credentials?: readonly BrokerCredential[] | undefined;
  /** In clear where absent. */
  readonly tls?: BrokerTls | undefined;
}

export interface AdmissionOptions {
  readonly access: BrokerAccess;
  readonly byPassword: (credentials: BrokerAccess['credentials']) => Identify;
  readonly counters: BrokerCounters;
  readonly log: Logger;
}

interface Guest {
  readonly clientId: string;
  readonly username: string | undefined;
  /** Of its certificate; null where it came without one. */
  readonly serial: string | null;
}

/** Lets clients in by certificate or password, and out again when they lose the right to be there. */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #guests = new Map<Socket, Guest>();
  #access: BrokerAccess;
  #byPassword: Identify;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#access = options.access;
    this.#byPassword = options.byPassword(options.access.credentials);
  }

  /** A certificate counts before a password. */
  readonly identify: Identify = async (introduction) => {
    const { connection, clientId, username, address } = introduction;
    const asked = this.#access;
    const { tls } = asked;
    const refuse = (reason: string) => {
      this.#options.counters.refusedConnections++;
      this.#options.log.warn({ client: clientId, address, reason }, 'client refused');
      return null;
    };
    const holder = tls === undefined ? null : certificateHolder(connection);
    if (holder === null && tls?.clients === 'certificate') return refuse('no certificate');
    if (holder?.identity === null) return refuse('a certificate that names no client of a federation');
    if (holder !== null && tls?.revoked.has(holder.serial)) return refuse('a certificate that was revoked');
    const identity = holder?.identity ?? (await this.#byPassword(introduction));
    if (identity === null) return null;
    const fault = clientIdFault(identity, clientId, agentsOf(asked));
    if (fault !== null) return refuse(fault);
    const guest: Guest = { clientId, username, serial: holder?.serial ?? null };
    // Checking a password takes a while, in which its user may have been removed.
    const late = lostRight(guest, asked, this.#access);
    if (late !== null) return refuse(late);
    this.#guests.set(connection, guest);
    connection.once('close', () => this.#guests.delete(connection));
    return identity;
  };

  /** Cuts off at once whom the new access no longer lets in; all others stay connected. */
  set(access: BrokerAccess): void {
    const before = this.#access;
    this.#access = access;
    if (JSON.stringify(before.credentials) !== JSON.stringify(access.credentials))
      this.#byPassword = this.#options.byPassword(access.credentials);
    for (const [connection, guest] of this.#guests) {
      const reason = lostRight(guest, before, access);
      if (reason === null) continue;
      this.#options.counters.cutOff++;
      this.#options.log.warn({ client: guest.clientId, serial: guest.serial, reason }, 'client cut off');
      connection.destroy();
    }
  }
}

function agentsOf({ credentials = [] }: BrokerAccess): readonly string[] {
  return credentials.flatMap(({ agent }) => agent ?? []);
}

/** Why somebody who was let in no longer would be; null where it would. */
function lostRight({ serial, username }: Guest, before: BrokerAccess, now: BrokerAccess): string | null {
  if (serial !== null) return now.tls?.revoked.has(serial) === true ? 'a certificate that was revoked' : null;
  if (now.tls?.clients === 'certificate') return 'no certificate';
  const entry = ({ credentials }: BrokerAccess) =>
    JSON.stringify(
      credentials === undefined ? 'anybody' : (credentials.find((one) => one.username === username) ?? null),
    );
  return entry(before) === entry(now) ? null : 'its user name, password or role has changed';
}
