import { spawn } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Aedes } from 'aedes';
import Database from 'libsql';
import { PlayedServer } from './played-server.js';

/** For tests: an agent as a process of its own, with its broker and its server in this one. */

export interface AgentProcess {
  readonly directory: string;
  readonly server: PlayedServer;
  readonly pid: number;
  /** What it has logged. */
  log(): string;
  /** Stored rows from one source time to another: how many, and how many of them have a value of the tag at `place`. */
  rows(fromMs: number, toMs: number, place?: number): { readonly count: number; readonly known: number };
  /** For good. */
  closeBroker(): Promise<void>;
  stop(): Promise<void>;
}

export interface SiteFiles {
  /** Of the agent's file, beside federation, agent, broker and dataDir. */
  readonly agent: string;
  /** Templates and whatever else, by name. */
  readonly files: Readonly<Record<string, string>>;
  /** Before it starts; given the data directory. */
  readonly prepare?: (dataDir: string) => Promise<void>;
}

export async function startAgent({ agent, files, prepare }: SiteFiles): Promise<AgentProcess> {
  const directory = mkdtempSync(join(tmpdir(), 'twinwatch-isolation-'));
  const aedes = await Aedes.createBroker();
  const broker = net.createServer(aedes.handle);
  await new Promise<void>((resolve) => broker.listen(0, '127.0.0.1', resolve));
  let closing: Promise<void> | null = null;
  const closeBroker = () => {
    closing ??= new Promise<void>((resolve) => aedes.close(() => resolve())).then(
      () => new Promise((resolve) => broker.close(() => resolve())),
    );
    return closing;
  };
  const url = `mqtt://127.0.0.1:${(broker.address() as net.AddressInfo).port}`;
  const server = new PlayedServer(url, null);
  server.link.start();
  const head = `federation: test\nagent: site\nbroker: { url: '${url}' }\ndataDir: data\nstatusEvery: 1s\n`;
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  writeFileSync(join(directory, 'agent.yaml'), head + agent);
  const main = JSON.stringify(new URL('../main.js', import.meta.url).href);
  writeFileSync(join(directory, 'run.mjs'), `import { main } from ${main};\nawait main('agent.yaml');\n`);
  await prepare?.(join(directory, 'data'));
  const logFile = join(directory, 'log');
  const child = spawn(process.execPath, ['run.mjs'], {
    cwd: directory,
    stdio: ['ignore', 'pipe', openSync(logFile, 'a')],
  });
  const log = () => readFileSync(logFile, 'utf8');
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const ready = new Promise((resolve) => child.stdout!.once('data', resolve));
  await Promise.race([
    ready,
    ended.then((code) => {
      throw new Error(`the agent ended with ${code}: ${log()}`);
    }),
  ]);
  return {
    ...{ directory, server, log, closeBroker, pid: child.pid! },
    rows(fromMs, toMs, place = 0) {
      const database = new Database(join(directory, 'data', 'rows.db'));
      const found = database.prepare('SELECT vals FROM rows WHERE time_ms BETWEEN ? AND ?').raw().all(fromMs, toMs) as [
        Buffer,
      ][];
      database.close();
      return {
        count: found.length,
        known: found.filter(([bytes]) => Number.isFinite(bytes.readDoubleLE(8 * place))).length,
      };
    },
    async stop() {
      child.kill('SIGTERM');
      await ended;
      await server.link.stop();
      await closeBroker();
      rmSync(directory, { recursive: true });
    },
  };
}
