import { createServer, type Socket } from 'node:net';
import { TwinwatchError } from '@twinwatch/core/errors';
import { type ReadRequest, takeRequests } from './modbus-frames.js';

export interface ModbusServerOptions {
  readonly host: string;
  readonly port: number;
  /** Where the port is taken: another one, or an error. */
  readonly ifTaken: 'another' | 'error';
  /** Who listens here, for messages. */
  readonly name: string;
  /** Called in the order of the requests of a connection, one at a time. */
  answer(request: ReadRequest, connection: object): Buffer | Promise<Buffer>;
  closed(connection: object): void;
}

export interface ModbusServer {
  readonly port: number;
  close(): Promise<void>;
}

/** @throws TwinwatchError PLANT_PORT_TAKEN, PLANT_NOT_LISTENING */
export async function listenModbus(options: ModbusServerOptions): Promise<ModbusServer> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    serve(socket, options, () => sockets.delete(socket));
  });
  const listen = (port: number) =>
    new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ port, host: options.host }, () => {
        server.off('error', reject);
        resolve();
      });
    });
  try {
    await listen(options.port).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' && options.ifTaken === 'another') return listen(0);
      throw error;
    });
  } catch (cause) {
    throw notListening(options, cause as NodeJS.ErrnoException);
  }
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : options.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function serve(socket: Socket, options: ModbusServerOptions, onClose: () => void): void {
  let rest: Buffer = Buffer.alloc(0);
  let answers: Promise<void> = Promise.resolve();
  socket.setNoDelay(true);
  socket.on('data', (data: Buffer) => {
    const taken = takeRequests(rest.length === 0 ? data : Buffer.concat([rest, data]));
    if (taken === null) {
      socket.destroy();
      return;
    }
    rest = taken.rest;
    for (const request of taken.requests) {
      answers = answers.then(async () => {
        const answer = await options.answer(request, socket);
        if (!socket.destroyed) socket.write(answer);
      });
    }
  });
  // A connection that breaks is closed next; there is nobody to tell.
  socket.on('error', () => undefined);
  socket.on('close', () => {
    onClose();
    options.closed(socket);
  });
}

function notListening(options: ModbusServerOptions, cause: NodeJS.ErrnoException): TwinwatchError {
  const place = `${options.host}:${options.port}`;
  if (cause.code === 'EADDRINUSE')
    return new TwinwatchError(
      'PLANT_PORT_TAKEN',
      `${options.name} cannot listen on ${place}: something else does; free the port, name another one, or write 'ports: auto'`,
      { cause, context: { port: options.port } },
    );
  return new TwinwatchError(
    'PLANT_NOT_LISTENING',
    `${options.name} cannot listen on ${place}: ${cause.message}; ports below 1024 need rights, and the host must be an address of this machine`,
    { cause, context: { port: options.port } },
  );
}
