import net from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { TwinwatchError } from '@twinwatch/core/errors';
import { SerialPort } from 'serialport';

/** An open line to a bus: bytes out, bytes in, and its end, told exactly once. */
export interface ByteStream {
  write(bytes: Buffer): void;
  /** Resolves once bytes that have come by now, and that a busy process has not looked at yet, have been told. */
  caughtUp(): Promise<void>;
  /** Resolves when the port or socket is really free again. */
  close(): Promise<void>;
}

export interface StreamEvents {
  data(bytes: Buffer): void;
  closed(reason: string): void;
}

export type OpenStream = (events: StreamEvents) => Promise<ByteStream>;

function unreachable(target: string, cause: unknown): TwinwatchError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new TwinwatchError(
    'MODBUS_UNREACHABLE',
    `${target} cannot be opened: ${detail}; check address, cable and power`,
    {
      context: { target },
      cause,
      retryable: true,
    },
  );
}

export function tcpStream(host: string, port: number, timeoutMs: number): OpenStream {
  return (events) =>
    new Promise((resolve, reject) => {
      const target = `tcp://${host}:${port}`;
      const socket = net.connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 10_000 });
      let opened = false;
      let reason = 'closed by the device';
      const connecting = setTimeout(() => socket.destroy(new Error(`no connection within ${timeoutMs} ms`)), timeoutMs);
      socket.on('error', (error) => {
        reason = error.message;
      });
      socket.on('data', (bytes) => events.data(bytes));
      // A device that half-closes will not answer any more.
      socket.on('end', () => socket.destroy());
      const ended = new Promise<void>((done) => {
        socket.on('close', () => {
          clearTimeout(connecting);
          if (opened) events.closed(reason);
          else reject(unreachable(target, new Error(reason)));
          done();
        });
      });
      socket.on('connect', () => {
        opened = true;
        clearTimeout(connecting);
        resolve({
          write: (bytes) => void socket.write(bytes),
          // Sockets are looked at between timers and immediates.
          caughtUp: () => setImmediate(),
          close: () => {
            socket.destroy();
            return ended;
          },
        });
      });
    });
}

export interface SerialSettings {
  readonly path: string;
  readonly baudRate: number;
  readonly parity: 'none' | 'even' | 'odd';
  readonly dataBits: 7 | 8;
  readonly stopBits: 1 | 2;
}

export function serialStream(settings: SerialSettings): OpenStream {
  return (events) =>
    new Promise((resolve, reject) => {
      const port = new SerialPort({ ...settings, autoOpen: false });
      let reason = 'unplugged';
      port.on('error', (error) => {
        reason = error.message;
      });
      port.on('data', (bytes: Buffer) => events.data(bytes));
      const ended = new Promise<void>((done) => {
        port.on('close', (error: Error | null) => {
          events.closed(error?.message ?? reason);
          done();
        });
      });
      port.open((failure) => {
        if (failure !== null) return reject(unreachable(settings.path, failure));
        resolve({
          write: (bytes) => void port.write(bytes),
          caughtUp: () => setImmediate(),
          close: () => {
            if (!port.isOpen) return ended;
            // Whatever still waits to be sent must not keep the port locked.
            port.flush(() => port.close(() => undefined));
            return ended;
          },
        });
      });
    });
}
