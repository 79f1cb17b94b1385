import { configTargets } from './config-targets.js';
import { deviceTargets } from './device-targets.js';
import { serviceTargets } from './service-targets.js';
import type { FuzzTarget } from './target.js';
import { wireTargets } from './wire-targets.js';

export const targets: readonly FuzzTarget[] = [...wireTargets, ...configTargets, ...deviceTargets, ...serviceTargets];
