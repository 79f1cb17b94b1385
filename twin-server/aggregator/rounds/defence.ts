import type { RoundsConfig } from '@twinwatch/core/config/server';
import type { UpdateVerdict } from '@twinwatch/core/wire/messages';
import { medianOf } from '../combine/norm.js';
import type { AgentState, FederationState, MachineConfig, Strike } from './round-state.js';

/** What an update is measured by that other updates set, and when an agent whose updates are refused is not asked any more. All pure. */

/** Norms of accepted updates, newest last. */
export interface AcceptedNorms {
  /** What a norm depends on besides the rows: after a change of it, older norms say nothing. */
  readonly of: string;
  readonly norms: readonly number[];
}

export const NO_NORMS: AcceptedNorms = { of: '', norms: [] };

/** Of several rounds of a usual federation; enough for a median that a minority cannot move. */
const KEPT_NORMS = 64;
/** Below, a median says little, and only `maximumUpdateNorm` holds. */
const LEAST_NORMS = 8;

type NormSetting = Pick<RoundsConfig, 'method' | 'epochs' | 'batchSize' | 'learningRate' | 'exchangeShare'>;

function dependsOn({ method, epochs, batchSize, learningRate, exchangeShare }: NormSetting): string {
  return [method, epochs, batchSize, learningRate, exchangeShare].join(' ');
}

export function withNorm(before: AcceptedNorms, norm: number, setting: NormSetting): AcceptedNorms {
  const of = dependsOn(setting);
  return { of, norms: [...(before.of === of ? before.norms : []), norm].slice(-KEPT_NORMS) };
}

/** The largest norm that is accepted, by the running median of those accepted so far; null where too few are known, or it is switched off. */
export function normBound(
  { of, norms }: AcceptedNorms,
  rounds: NormSetting & Pick<RoundsConfig, 'defence'>,
): number | null {
  const { normRatio } = rounds.defence;
  if (normRatio === 0 || norms.length < LEAST_NORMS || of !== dependsOn(rounds)) return null;
  return normRatio * medianOf(norms);
}

/** The most rows that an update can be of: an agent announces what it has, and again when that has grown by a tenth. Null where switched off. */
export function rowsBound(
  announced: number,
  { defence, minimumRows }: Pick<RoundsConfig, 'defence' | 'minimumRows'>,
): number | null {
  return defence.rowsRatio === 0 ? null : Math.ceil(defence.rowsRatio * Math.max(announced, minimumRows));
}

/** What an honest agent on a bad link, or one that was away, never causes. */
const OF_CONTENT: readonly UpdateVerdict[] = [
  'wrong-shape',
  'not-finite',
  'too-large',
  'implausible-rows',
  'malformed',
];

/** One answer to a task that was refused for its content; the same one sent again counts once. */
export function struck(
  agent: AgentState,
  strike: Strike,
  { defence }: Pick<MachineConfig, 'defence'>,
): Pick<AgentState, 'strikes' | 'quarantinedAtMs'> {
  const { strikes, quarantinedAtMs } = agent;
  const isKnown = strikes.some(({ round, attempt }) => round === strike.round && attempt === strike.attempt);
  if (quarantinedAtMs !== null || defence.quarantineAfter === 0 || isKnown || !OF_CONTENT.includes(strike.verdict))
    return { strikes, quarantinedAtMs };
  const all = [...strikes, strike];
  return { strikes: all, quarantinedAtMs: all.length >= defence.quarantineAfter ? strike.atMs : null };
}

/** An update that counted makes up for one that did not. */
export function forgiven({ strikes, quarantinedAtMs }: AgentState): readonly Strike[] {
  return quarantinedAtMs === null ? strikes.slice(1) : strikes;
}

/**
 * Whether most of those asked were refused as too large in this attempt. Then it is not one agent that is out of bounds but the bound itself, as where
 * what is learned has changed; it must not stop a federation for good.
 */
export function isBoundOutdated({ current }: FederationState): boolean {
  if (current === null) return false;
  const large = current.rejected.filter(
    ({ agent, attempt, verdict }) =>
      verdict === 'too-large' && attempt === current.attempt && current.refused.includes(agent),
  );
  return 2 * new Set(large.map(({ agent }) => agent)).size > current.asked.length;
}
