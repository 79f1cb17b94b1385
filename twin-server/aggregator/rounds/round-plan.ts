import { strategyNamed } from '../strategies/by-name.js';
import type { RoundPlan } from '../strategies/strategy.js';
import type { CurrentRound, FederationState, MachineConfig, TwinFit } from './round-state.js';
import { patch, type Step, withAgent } from './step.js';

/** What a round's method wants done before its agents are asked. */

export function planOf({ round }: CurrentRound, config: MachineConfig): RoundPlan {
  return strategyNamed(config.method).plan({ t: round - 1, config, layerCount: config.layerCount });
}

export function twinFitOf({ teacher }: FederationState, plan: RoundPlan): TwinFit | null {
  if (plan.teacher !== null && teacher === null) {
    return { type: 'fit-twin', from: 'twin', epochs: plan.teacher.epochs, isTeacher: true };
  }
  return plan.twinFit === null ? null : { type: 'fit-twin', ...plan.twinFit, isTeacher: false };
}

/** Agents keep a teacher: its bytes go down to each of them once. */
export function teach(before: Step, asked: readonly string[], plan: RoundPlan): Step {
  const { teacher, agents, current } = before.state;
  if (plan.teacher === null || teacher === null || current === null) return before;
  const untaught = asked.filter((agent) => agents[agent]?.taughtBy !== teacher.hash);
  const bytesDown = current.bytesDown + teacher.bytes * untaught.length;
  const after = patch(before, { current: { ...current, bytesDown } });
  return untaught.reduce((step, agent) => withAgent(step, agent, { taughtBy: teacher.hash }), after);
}
