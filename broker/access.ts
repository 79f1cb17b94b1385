import type { Socket } from 'node:net';
import type { BrokerLimits } from '@twinwatch/core/config/broker';
import type { Logger } from '@twinwatch/core/runtime';
import type { Aedes, AuthenticateError, PublishPacket } from 'aedes';
import type { Identify } from './authentication.js';
import type { BrokerCounters } from './counters.js';
import { type Identity, publishFault, readFault, subscribeFault } from './rights.js';
import type { SessionStore } from './session-store.js';
import type { Sessions } from './sessions.js';
import { StoredFirst } from './stored-first.js';

/** Messages, and bytes of their payloads, that clients were allowed to say, and that went to subscribers. */
export interface Traffic {
  publishesIn: number;
  publishBytesIn: number;
  publishesOut: number;
  publishBytesOut: number;
}

export interface AccessOptions {
  readonly limits: BrokerLimits;
  readonly counters: BrokerCounters;
  readonly traffic: Traffic;
  readonly log: Logger;
  readonly sessions: Sessions;
  readonly identify: Identify;
  /** Once a client is known to be who it says, before it is answered. */
  readonly onAdmitted: (client: object, connection: object, identity: Identity) => void;
}

interface Session {
  readonly identity: Identity;
  readonly filters: Set<string>;
}

interface PublishedOrWill {
  readonly topic: string;
  readonly payload: string | Buffer;
  readonly retain?: boolean;
}

/** Return codes of MQTT 3.1.1, section 3.2.2.3. */
const [IDENTIFIER_REJECTED, UNAVAILABLE, BAD_CREDENTIALS, NOT_AUTHORIZED] = [2, 3, 4, 5];

/** Tells aedes who may come in, say and hear what. Refusals never end a connection that has been admitted: it would come back and do the same again. */
export function applyAccess(aedes: Aedes, store: SessionStore, options: AccessOptions): void {
  const { limits, counters, traffic, log, sessions: kept, identify, onAdmitted } = options;
  const sessions = new WeakMap<object, Session>();
  /** Return codes for those who are known, and cannot come in nevertheless. */
  const refusals = new WeakMap<object, number>();
  const identityOf = (client: object | null): Identity => sessions.get(client ?? {})?.identity ?? { role: 'anonymous' };

  /** Counts and logs; true when the message must not go out. */
  const refuses = (identity: Identity, packet: PublishedOrWill, client: string | undefined): boolean => {
    const { topic, payload, retain = false } = packet;
    const fault = publishFault(identity, { topic, payloadBytes: payload.length, retain }, limits);
    if (fault === null) return false;
    counters.refusedPublishes++;
    log.debug({ client, topic: topic.slice(0, 256), fault }, 'message refused');
    return true;
  };

  // Asked here already because a will is published when its client, and after a crash even its session, is gone: it is judged now or never.
  aedes.preConnect = (client, packet, done) => {
    const { username, password, clientId, clean = true } = packet;
    const connection = client.conn as Socket;
    const address = connection.remoteAddress ?? 'unknown';
    const isWaiting = () => !connection.destroyed;
    const admit = async () => {
      const identity = await identify({ clientId, username, password, connection, address, isWaiting });
      if (identity === null) return;
      // Nobody could come back to a session without a name; MQTT 3.1.1, section 3.1.3.1.
      if (clientId === '' && !clean) return void refusals.set(client, IDENTIFIER_REJECTED);
      const leave = await kept.arrive(clientId, identity, clean);
      if (leave === null) return void refusals.set(client, UNAVAILABLE);
      if (connection.destroyed) return leave();
      connection.once('close', leave);
      if (packet.will !== undefined && refuses(identity, packet.will, clientId)) delete packet.will;
      sessions.set(client, { identity, filters: new Set() });
      onAdmitted(client, connection, identity);
    };
    admit()
      .catch((error: unknown) => log.error({ client: clientId, error: String(error) }, 'cannot let a client in'))
      .finally(() => done(null, true));
  };

  aedes.authenticate = (client, username, _password, done) => {
    if (sessions.has(client)) return done(null, true);
    // Who gave no name was judged by a certificate, or by having none.
    const anonymous = username === undefined || username === null;
    const returnCode = refusals.get(client) ?? (anonymous ? NOT_AUTHORIZED : BAD_CREDENTIALS);
    done(Object.assign(new Error('not let in'), { returnCode }) as AuthenticateError, false);
  };

  const storedFirst = new StoredFirst(aedes, store);
  /** What is left for aedes is to acknowledge it. */
  const empty = (packet: PublishPacket) => {
    packet.topic = `$SYS/${aedes.id}/handled`;
    packet.payload = Buffer.alloc(0);
    packet.retain = false;
  };
  aedes.authorizePublish = (client, packet, done) => {
    const isToBeKept = packet.qos > 0 || packet.retain;
    if (isToBeKept && store.isOverloaded) {
      // Not read and not acknowledged: its sender keeps it.
      counters.heldForRoom++;
      void store.onDisk().then(() => aedes.authorizePublish(client, packet, done));
      return;
    }
    if (refuses(identityOf(client), packet, client?.id)) {
      empty(packet);
      done(null);
      return;
    }
    traffic.publishesIn++;
    traffic.publishBytesIn += packet.payload.length;
    if (client !== null && packet.qos === 1) {
      storedFirst.publish(client, { ...packet }, (error, acknowledge) => {
        empty(packet);
        if (!acknowledge) packet.qos = 0;
        done(error);
      });
    } else done(null);
  };

  aedes.authorizeSubscribe = (client, subscription, done) => {
    const session = sessions.get(client);
    const filters = session?.filters ?? new Set();
    const others = filters.size - (filters.has(subscription.topic) ? 1 : 0);
    const fault = subscribeFault(identityOf(client), subscription.topic, others, limits);
    if (fault === null) {
      filters.add(subscription.topic);
      done(null, subscription);
      return;
    }
    counters.refusedSubscriptions++;
    log.warn({ client: client.id, filter: subscription.topic.slice(0, 256), fault }, 'subscription refused');
    done(null, null);
  };
  aedes.on('unsubscribe', (filters, client) => {
    for (const filter of filters) sessions.get(client)?.filters.delete(filter);
  });

  store.mayStore = (client, filter) => sessions.get(client)?.filters.has(filter) ?? false;
  // What aedes says to itself, about clients by name, is nobody's.
  const internal = `$SYS/${aedes.id}/`;
  aedes.authorizeForward = (client, packet) => {
    if (packet.topic.startsWith(internal) || readFault(identityOf(client), packet.topic) !== null) return null;
    traffic.publishesOut++;
    traffic.publishBytesOut += packet.payload.length;
    return packet;
  };
}
