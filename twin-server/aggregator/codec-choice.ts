import type { RoundsConfig } from '@twinwatch/core/config/server';
import type { ParameterCodec } from '@twinwatch/core/wire/messages';

/** As what an agent sends its updates: what the federation wants of it, if it can; f32 otherwise. */

export function wantedCodec(
  { codec, agentCodecs }: Pick<RoundsConfig, 'codec' | 'agentCodecs'>,
  agent: string,
): ParameterCodec {
  return Object.hasOwn(agentCodecs, agent) ? (agentCodecs[agent] ?? codec) : codec;
}

/** @param able what the agent said that it can. */
export function chosenCodec(wanted: ParameterCodec, able: readonly string[]): ParameterCodec {
  return able.includes(wanted) ? wanted : 'f32';
}
