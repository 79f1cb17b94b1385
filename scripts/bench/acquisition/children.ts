import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { DeviceCounts, DeviceSpec, PollEvent, PollReport, PollSpec } from './messages.js';

/** The processes of the benchmark, each with what it is asked for. */

export interface Device {
  readonly port: number;
  counts(): Promise<DeviceCounts>;
  stop(): void;
}

export interface Poller {
  /** From here on its processor time and latencies count. */
  begin(): void;
  report(): Promise<PollReport>;
  /** Resolves with the time of the next event of this kind; rejects after `withinMs`. */
  next(kind: PollEvent['kind'], withinMs: number): Promise<number>;
}

function start(name: string, spec: object): ChildProcess {
  const file = fileURLToPath(new URL(`./${name}.js`, import.meta.url));
  return fork(file, [JSON.stringify(spec)], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
}

function message<T extends { kind: string }>(child: ChildProcess, kind: T['kind'], withinMs = 30_000): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`no '${kind}' within ${withinMs} ms`)), withinMs);
    const listen = (told: T) => {
      if (told.kind !== kind) return;
      clearTimeout(late);
      child.off('message', listen);
      resolve(told);
    };
    child.on('message', listen);
  });
}

export async function startDevice(spec: DeviceSpec): Promise<Device> {
  const child = start('device-process', spec);
  const { port } = await message<{ kind: 'listening'; port: number }>(child, 'listening');
  return {
    port,
    counts: () => {
      const counts = message<DeviceCounts>(child, 'counts');
      child.send('count');
      return counts;
    },
    stop: () => child.disconnect(),
  };
}

export function startPoller(spec: PollSpec): Poller {
  const child = start('poll-process', spec);
  return {
    begin: () => void child.send('begin'),
    report: () => {
      const report = message<PollReport>(child, 'report');
      child.send('report');
      return report;
    },
    next: async (kind, withinMs) => (await message<PollEvent>(child, kind, withinMs)).atMs,
  };
}
