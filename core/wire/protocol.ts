import { TwinwatchError } from '../errors.js';

/**
 * Which protocol two ends speak that are not of one release. A release speaks a range of protocols. Each end tells its range in what every
 * release can read (JSON statuses, and the hello), and writes to the other in the highest one that both speak. Pure.
 */

/** Both included. */
export interface ProtocolRange {
  readonly oldest: number;
  readonly newest: number;
}

/** Of this release. 2: a task may hold its parameters (inline-parameters.ts), and a large calibration goes up in chunks. */
export const SPOKEN: ProtocolRange = { oldest: 1, newest: 2 };

/** Of releases that do not tell. */
const UNTOLD: ProtocolRange = { oldest: 1, newest: 1 };

/** What an end tells of itself. */
export interface Version {
  readonly softwareVersion: string;
  readonly protocols?: ProtocolRange | undefined;
}

export type Agreement =
  | { readonly agreed: true; readonly protocol: number }
  | { readonly agreed: false; readonly older: 'server' | 'agent'; readonly reason: string };

/** The highest protocol of both, null where there is none. */
export function commonProtocol(own: ProtocolRange, told: ProtocolRange | undefined): number | null {
  const other = told ?? UNTOLD;
  const protocol = Math.min(own.newest, other.newest);
  return protocol >= Math.max(own.oldest, other.oldest) ? protocol : null;
}

/** Both ends come to the same answer, in the same words. @param agent its id. */
export function agreement(server: Version, agent: string, site: Version): Agreement {
  const servers = server.protocols ?? UNTOLD;
  const agents = site.protocols ?? UNTOLD;
  const protocol = commonProtocol(servers, agents);
  if (protocol !== null) return { agreed: true, protocol };
  const older = agents.newest < servers.oldest ? 'agent' : 'server';
  const whom = older === 'agent' ? `agent ${agent}` : 'the server';
  return {
    agreed: false,
    older,
    reason: `agent ${agent} (release ${site.softwareVersion}) speaks ${rangeWords(agents)}, the server (release ${server.softwareVersion}) speaks ${rangeWords(servers)}; upgrade ${whom}, which is the older one`,
  };
}

/**
 * For what is published once for all: the protocol of this end that most others read, of several the highest; the oldest one while nobody
 * is known, since nobody who can be talked to at all is more likely to read another.
 */
export function protocolForAll(own: ProtocolRange, told: readonly (ProtocolRange | undefined)[]): number {
  const others = told.map((range) => range ?? UNTOLD);
  let best = { protocol: own.oldest, readers: 0 };
  for (let protocol = own.oldest; protocol <= own.newest; protocol++) {
    const readers = others.filter(({ oldest, newest }) => oldest <= protocol && protocol <= newest).length;
    if (readers > 0 && readers >= best.readers) best = { protocol, readers };
  }
  return best.protocol;
}

/** @throws TwinwatchError WIRE_PROTOCOL */
export function requireSpoken(protocol: number, own: ProtocolRange): void {
  if (protocol >= own.oldest && protocol <= own.newest) return;
  const older = protocol > own.newest ? 'this end' : 'its sender';
  throw new TwinwatchError(
    'WIRE_PROTOCOL',
    `a message of protocol ${protocol}, this end speaks ${rangeWords(own)}; upgrade ${older}, which is the older one`,
    { context: { protocol, ...own } },
  );
}

function rangeWords({ oldest, newest }: ProtocolRange): string {
  return oldest === newest ? `protocol ${oldest}` : `protocols ${oldest} to ${newest}`;
}
