import { createServer } from 'node:net';
import { TwinwatchError } from '@twinwatch/core/errors';

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host, port }, () => server.close(() => resolve(true)));
  });
}

/**
 * One free TCP port per name, from `base` upwards. With `exact` the n-th name gets base + n or nothing.
 * @throws TwinwatchError CLI_PORT_TAKEN
 */
export async function choosePorts<N extends string>(
  names: readonly N[],
  base: number,
  exact: boolean,
  host = '127.0.0.1',
): Promise<Record<N, number>> {
  const chosen: Partial<Record<N, number>> = {};
  let next = base;
  for (const name of names) {
    while (!(await isFree(host, next))) {
      if (exact)
        throw new TwinwatchError(
          'CLI_PORT_TAKEN',
          `port ${next}, meant for the ${name}, is taken by another process; stop it, or choose others with --ports BASE (${names.length} ports are needed)`,
          { context: { port: next } },
        );
      next++;
      if (next > 65_535)
        throw new TwinwatchError('CLI_PORT_TAKEN', `no free port from ${base} upwards; choose a lower --ports BASE`);
    }
    chosen[name] = next;
    next++;
  }
  return chosen as Record<N, number>;
}
