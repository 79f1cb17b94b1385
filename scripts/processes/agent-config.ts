import type { agentSchema } from '@twinwatch/core/config/agent';
import type { z } from 'zod';

export interface AgentFacts {
  readonly federation: string;
  readonly agent: string;
  readonly brokerPort: number;
  readonly dataDir: string;
  readonly intervalMs: number;
  /** PLC → TCP port on this machine; none for an agent that learns from imported history only. */
  readonly plcPorts: Readonly<Record<string, number>>;
  /** PLC → template file. */
  readonly templateOf: (plc: string) => string;
}

/** A request waits this long: the plant simulator and everything else share a machine's processors here. */
const TIMEOUT_MS = 10_000;

/** Agent configuration for a simulated plant on this machine, which is polled as fast as it answers. */
export function agentConfig(facts: AgentFacts): z.input<typeof agentSchema> {
  return {
    federation: facts.federation,
    agent: facts.agent,
    broker: { url: `mqtt://127.0.0.1:${facts.brokerPort}` },
    dataDir: facts.dataDir,
    interval: `${facts.intervalMs}ms`,
    // A plant that waits for its reader must not lose a row to a slow moment of this machine.
    poll: { every: '0ms', lateAfter: '10m' },
    buses: Object.entries(facts.plcPorts).map(([plc, port]) => ({
      url: `tcp://127.0.0.1:${port}`,
      timeoutMs: TIMEOUT_MS,
      devices: [{ name: plc, unit: 1, template: facts.templateOf(plc) }],
    })),
    statusEvery: '1s',
  };
}
