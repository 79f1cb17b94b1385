import { parseDuration } from '@twinwatch/core/config/duration';
import { TwinwatchError } from '@twinwatch/core/errors';
import { type Command, InvalidArgumentError } from 'commander';

/** What the commands' options have in common. */

export const withExamples = (command: Command, ...examples: string[]) =>
  command.addHelpText('after', `\nExamples:\n${examples.map((example) => `  $ twinwatch ${example}`).join('\n')}\n`);

/**
 * A command that is run where none of its siblings is named: says so of a name that none of them has, instead of taking it for an argument.
 * @throws TwinwatchError CLI_USAGE
 */
export const asDefault = (command: Command): Command =>
  command.allowExcessArguments().hook('preAction', (_, { args, parent }) => {
    if (args.length === 0 || parent === null) return;
    const names = parent.commands.map((sibling) => sibling.name()).join(', ');
    throw new TwinwatchError('CLI_USAGE', `'${parent.name()}' has no '${args[0]}'; it has ${names}`);
  });

export function positive(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError('write a number above 0');
  return value;
}

export function whole(text: string): number {
  const value = positive(text);
  if (!Number.isInteger(value)) throw new InvalidArgumentError('write a whole number above 0');
  return value;
}

export const collect = (text: string, before: string[]) => [...before, text];

const LAST_PORT = 65_535;
/** Of a demonstration: broker, page, and the PLCs of as many sites as a machine can carry. */
const PORTS_AT_MOST = 535;

/** The first of several ports in a row. */
export function firstPort(text: string): number {
  const value = whole(text);
  if (value > LAST_PORT - PORTS_AT_MOST)
    throw new InvalidArgumentError(`write a port up to ${LAST_PORT - PORTS_AT_MOST}`);
  return value;
}

export type Ranges = readonly { readonly from: number; readonly to: number }[];

/** '1-10,255': each from and to included, none above `most`. */
export function ranges(text: string, most: number): Ranges {
  return text.split(',').map((part) => {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part.trim());
    const from = Number(match?.[1]);
    const to = Number(match?.[2] ?? match?.[1]);
    if (match === null || from > to || to > most)
      throw new InvalidArgumentError(`write numbers up to ${most} and ranges of them, such as 1-10,${most}`);
    return { from, to };
  });
}

export const gather = (text: string, before: string[] = []) => [...before, text];

export function agentName(text: string): string {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(text)) throw new InvalidArgumentError('write 1–64 letters, digits, _ or -');
  return text;
}

/** '15m' → milliseconds. */
export function duration(text: string): number {
  const ms = parseDuration(text);
  if (ms === null) throw new InvalidArgumentError("write a number and a unit, one of ms, s, m, h, d, such as '15m'");
  return ms;
}

/** 0 takes any free one. */
export function portNumber(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > LAST_PORT)
    throw new InvalidArgumentError(`write a port up to ${LAST_PORT}`);
  return value;
}
