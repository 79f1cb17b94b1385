import { roundsConfig } from '@twinwatch/core/config/server';
import { expect } from 'vitest';
import { step } from '../round-machine.js';
import {
  type Effect,
  type FederationEvent,
  type FederationState,
  INITIAL_STATE,
  type MachineConfig,
} from '../round-state.js';
import type { ClosedRound } from '../step.js';

const CONFIG: MachineConfig = {
  ...roundsConfig.parse({ method: 'fedavg', count: 2, quorum: 2, deadline: '1s', twinEpochs: 1 }),
  seed: 1,
  layerCount: 3,
  parameterBytes: 400,
};
export const AGGREGATED = { type: 'aggregated', twinHash: 'g0', optimizer: null, leftOut: [], remarks: [] } as const;
export const VALIDATION = { loss: 0.5, rocAuc: 0.8, prAuc: 0.6 };

/** A round machine that is told events one by one; every state before stays as it was. */
export class Federation {
  state: FederationState = INITIAL_STATE;
  effects: readonly Effect[] = [];
  closed: ClosedRound[] = [];
  readonly config: MachineConfig;

  constructor(config: Partial<MachineConfig> = {}) {
    this.config = { ...CONFIG, ...config };
  }

  on(event: FederationEvent): this {
    const before = JSON.stringify(this.state);
    const frozen = this.state;
    const next = step(this.state, event, this.config, 5_000);
    expect(JSON.stringify(frozen)).toBe(before);
    this.state = next.state;
    this.effects = next.effects;
    this.closed.push(...next.closed);
    return this;
  }

  hello(...agents: string[]): this {
    for (const agent of agents) {
      this.on({ type: 'hello', agent, compatible: true, detail: '', eligibleRows: 500, codecs: ['f32'] });
    }
    return this;
  }

  offline(agent: string, connectionId = 'c1'): this {
    return this.on({ type: 'status', agent, online: false, connectionId });
  }

  online(agent: string, connectionId = 'c1'): this {
    return this.on({ type: 'status', agent, online: true, connectionId });
  }

  /** Three agents, lineage frozen, round 1 collecting. */
  started(...agents: string[]): this {
    this.hello(...agents);
    for (const agent of agents) this.on({ type: 'calibration', agent });
    expect(this.types()).toEqual(['freeze-lineage']);
    return this.on({ type: 'lineage-frozen', lineageHash: 'L', globalHash: 'g0', twinHash: 'g0' });
  }

  update(agent: string, change: Partial<Extract<FederationEvent, { type: 'update' }>['update']> = {}): this {
    const { current, release } = this.state;
    const open = current ?? release;
    const base = current?.baseHash ?? release?.candidate.parametersHash ?? 'none';
    return this.on({
      type: 'update',
      verdict: 'accepted',
      detail: '',
      norm: current === null ? null : 1,
      update: {
        ...{ agent, round: open?.round ?? 9, attempt: open?.attempt ?? 1, kind: current === null ? 'evaluate' : 'fit' },
        ...{ baseHash: base, rows: 100, bytes: 50, ...change },
      },
    });
  }

  aggregated(hash: string): this {
    return this.on({ ...AGGREGATED, globalHash: hash });
  }

  types(): string[] {
    return this.effects.map(({ type }) => type);
  }

  verdict(): string | undefined {
    const receipt = this.effects.find((effect) => effect.type === 'receipt');
    return receipt?.verdict;
  }
}
