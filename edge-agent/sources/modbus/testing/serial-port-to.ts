import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** For tests: a serial port of the kernel (a pseudo-terminal of socat's) whose other end is a TCP port of the loopback. */

export const hasSocat = () => spawnSync('socat', ['-V']).status === 0;

export interface SerialPort {
  readonly path: string;
  close(): Promise<void>;
}

/** Where the TCP side hangs up the port vanishes, as an unplugged adapter does, and comes back under the same name. */
export async function serialPortTo(tcpPort: number): Promise<SerialPort> {
  const directory = await mkdtemp(join(tmpdir(), 'twinwatch-port-'));
  const path = join(directory, 'port');
  let isClosed = false;
  let socat: ChildProcess | null = null;
  const plugged = (async () => {
    while (!isClosed) {
      socat = spawn('socat', [`pty,raw,echo=0,link=${path}`, `tcp:127.0.0.1:${tcpPort},nodelay`], { stdio: 'ignore' });
      await once(socat, 'exit');
    }
  })();
  while (!existsSync(path)) await delay(2);
  return {
    path,
    async close() {
      isClosed = true;
      socat?.kill();
      await plugged;
      await rm(directory, { recursive: true, force: true });
    },
  };
}
