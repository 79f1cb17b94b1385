import { join } from 'node:path';
import type { TrainingEngine } from '@twinwatch/core/learning/engine';
import { AGENT_TAGS, openAgent } from '../../federation-test/bed.js';

/** Agents in a process of their own, each with its store and its connection. They train nothing. Started with an AgentsSpec as JSON, ended by a message. */

export interface AgentsSpec {
  readonly port: number;
  readonly directory: string;
  readonly agents: number;
  readonly rowsEach: number;
  readonly intervalMs: number;
}

/** Since the process began. */
export interface AgentsReport {
  readonly cpuMs: number;
}

const LOG = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: console.error };
const MOVE = 0.01;

/** Gives back what it was given, a little moved, so that there is something to send. */
const engine: TrainingEngine = {
  name: 'none',
  async fit({ parameters, seed }) {
    return { parameters: parameters.map((value, i) => value + MOVE * (((seed + i) % 7) - 3)), loss: 0.5, steps: 0 };
  },
  gradient: () => Promise.reject(new Error('nobody asks for gradients here')),
  score: () => Promise.reject(new Error('nobody asks for scores here')),
  close: async () => undefined,
};

const spec = JSON.parse(process.argv[2] ?? '') as AgentsSpec;
const limits = { maximumRows: spec.rowsEach, quarantineMs: 0, labelWeight: 1 };
const agents = await Promise.all(
  Array.from({ length: spec.agents }, async (_, i) => {
    const agent = `site-${i + 1}`;
    const opened = await openAgent({
      ...{ agent, port: spec.port, directory: join(spec.directory, agent), log: LOG },
      rest: {
        training: { limits, engine: async () => engine, engineName: engine.name },
        siteTags: () => AGENT_TAGS,
        statusEveryMs: 60_000,
      },
    });
    const firstMs = Date.now() - spec.rowsEach * spec.intervalMs;
    for (let row = 0; row < spec.rowsEach; row++) await opened.row(firstMs + row * spec.intervalMs);
    opened.federation.siteChanged();
    return opened;
  }),
);
process.on('message', async (asked: 'report' | 'stop') => {
  if (asked === 'report') {
    const { user, system } = process.cpuUsage();
    process.send?.({ cpuMs: (user + system) / 1_000 } satisfies AgentsReport);
    return;
  }
  await Promise.all(agents.map((agent) => agent.close()));
  process.exit(0);
});
process.on('disconnect', () => process.exit(1));
