import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, TLSSocket, type TlsOptions, type Server as TlsServer } from 'node:tls';
import type { ClientLogin } from '@twinwatch/core/config/broker';
import { certificateNameIn } from '@twinwatch/core/security/certificate-name';
import type { Identity } from './rights.js';

/** What the broker listens with, and whom it believes. All PEM. */
export interface BrokerTls {
  readonly cert: string;
  readonly key: string;
  /** One or, while one follows another, several authorities. */
  readonly ca: string;
  readonly clients: ClientLogin;
  /** Serials in upper-case hex. */
  readonly revoked: ReadonlySet<string>;
}

export interface Listener {
  readonly server: Server;
  /** From the next connection on. @throws Error where certificate and key do not fit; what was before goes on. */
  replaceCertificates(tls: BrokerTls): void;
  /** Connections whose handshake is not over. */
  destroyHandshakes(): void;
}

export interface ListenerEvents {
  /** Over this MQTT is spoken: with TLS, after the handshake. */
  readonly onSocket: (socket: Socket) => void;
  readonly onRefused: (reason: string, address: string | undefined) => void;
}

const HANDSHAKE_TIMEOUT_MS = 10_000;

/** @throws Error where certificate and key do not fit. */
export function createListener(tls: BrokerTls | undefined, { onSocket, onRefused }: ListenerEvents): Listener {
  if (tls === undefined)
    return {
      server: createServer(onSocket),
      replaceCertificates: () => undefined,
      destroyHandshakes: () => undefined,
    };
  const handshakes = new Set<Socket>();
  const server: TlsServer = createTlsServer({ ...contextOf(tls), handshakeTimeout: HANDSHAKE_TIMEOUT_MS }, onSocket);
  server.on('connection', (socket) => {
    handshakes.add(socket);
    socket.once('close', () => handshakes.delete(socket));
  });
  server.on('tlsClientError', (error, socket) => {
    onRefused(error.message, socket.remoteAddress);
    socket.destroy();
  });
  return {
    server,
    replaceCertificates: (changed) => server.setSecureContext(contextOf(changed)),
    destroyHandshakes() {
      for (const socket of handshakes) socket.destroy();
    },
  };
}

function contextOf({ cert, key, ca, clients }: BrokerTls): TlsOptions {
  return {
    ...{ cert, key, ca, minVersion: 'TLSv1.2' },
    requestCert: clients !== 'password',
    rejectUnauthorized: clients === 'certificate',
  };
}

export interface CertificateHolder {
  /** Null where it names nobody who may be a client of a broker. */
  readonly identity: Identity | null;
  /** Upper-case hex. */
  readonly serial: string;
}

/** Whom the client's certificate is about; null where it has shown none that an authority of ours has signed. */
export function certificateHolder(connection: object): CertificateHolder | null {
  if (!(connection instanceof TLSSocket) || !connection.authorized) return null;
  const certificate = connection.getPeerX509Certificate();
  if (certificate === undefined) return null;
  const named = certificateNameIn(certificate.subjectAltName);
  const { serialNumber: serial } = certificate;
  if (named === null || named.role === 'broker') return { identity: null, serial };
  const { role, federation, name } = named;
  return { identity: role === 'agent' ? { role, agent: name, federation } : { role, federation }, serial };
}
