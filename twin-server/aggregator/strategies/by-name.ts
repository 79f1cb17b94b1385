import { cwa } from './cwa.js';
import { dtkd } from './dtkd.js';
import { dtml } from './dtml.js';
import { fedavg } from './fedavg.js';
import { fedprox } from './fedprox.js';
import { fpf } from './fpf.js';
import { lpe } from './lpe.js';
import type { Strategy } from './strategy.js';

const STRATEGIES: { readonly [K in Strategy['name']]: Strategy } = { fedavg, fedprox, dtml, fpf, lpe, cwa, dtkd };

/** The strategy of a configured method; the configuration's schema admits no other name. */
export function strategyNamed(name: Strategy['name']): Strategy {
  return STRATEGIES[name];
}
