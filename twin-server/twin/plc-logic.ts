import type { Effect } from './attacks.js';
import type { Control } from './plant-config.js';

/** Pure decisions of a PLC's scan, and what an attack makes of them. */

type Rule = NonNullable<Control['on']>;

/** NaN, a value that is not there, meets no condition. */
function met(rule: Rule, reading: number): boolean {
  return rule.below === undefined ? reading > rule.above! : reading < rule.below;
}

/**
 * The latch of an actuator after one scan: set where the on-condition is met, cleared where the off-condition is, else kept.
 * Where thresholds were rewritten so that both are met at once, off wins, as in a reset-dominant latch.
 */
export function scanLatch(
  latched: boolean,
  control: { readonly on?: Rule | undefined; readonly off?: Rule | undefined },
  read: (tag: string) => number,
): boolean {
  if (control.off !== undefined && met(control.off, read(control.off.tag))) return false;
  if (control.on !== undefined && met(control.on, read(control.on.tag))) return true;
  return latched;
}

/** The control with the thresholds that an attack wrote over its own. */
export function rewritten(control: Control, effects: readonly Effect[]): Pick<Control, 'on' | 'off'> {
  let { on, off } = control;
  for (const effect of effects) {
    if (effect.kind !== 'thresholds' || effect.actuator !== control.actuator) continue;
    if (on !== undefined && effect.on !== undefined) on = moved(on, effect.on);
    if (off !== undefined && effect.off !== undefined) off = moved(off, effect.off);
  }
  return { on, off };
}

function moved(rule: Rule, threshold: number): Rule {
  return rule.below === undefined ? { tag: rule.tag, above: threshold } : { tag: rule.tag, below: threshold };
}

/** What actually happens to an actuator: whether it runs, and at which speed relative to its own. */
export function actuated(
  actuator: string,
  latched: boolean,
  effects: readonly Effect[],
): { on: boolean; speed: number } {
  let on = latched;
  let speed = 1;
  for (const effect of effects) {
    if (effect.kind === 'force' && effect.actuator === actuator) on = effect.state === 'on';
    if (effect.kind === 'speed' && effect.actuator === actuator) speed = effect.speed;
  }
  return { on, speed };
}

/** A reading after a link or sensor effect; `frozen` is the reading at the effect's first scan. */
export function falsified(
  effect: { readonly constant?: number | undefined; readonly offset?: number | undefined },
  reading: number,
  frozen: number,
): number {
  if (effect.constant !== undefined) return effect.constant;
  if (effect.offset !== undefined) return reading + effect.offset;
  return frozen;
}
