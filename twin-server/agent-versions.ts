import {
  type Agreement,
  agreement,
  type ProtocolRange,
  protocolForAll,
  type Version,
} from '@twinwatch/core/wire/protocol';

/** What agents said last of their releases, and so in which protocol a server writes to each of them, and to all. */
export class AgentVersions {
  readonly #server: Version & { readonly protocols: ProtocolRange };
  readonly #agents = new Map<string, Version>();

  constructor(server: Version & { readonly protocols: ProtocolRange }) {
    this.#server = server;
  }

  heard(agent: string, { softwareVersion, protocols }: Version): void {
    this.#agents.set(agent, { softwareVersion, protocols });
  }

  forget(agent: string): void {
    this.#agents.delete(agent);
  }

  /** The oldest protocol for an agent that has not said what it speaks since the server was started. */
  with(agent: string): Agreement {
    const version = this.#agents.get(agent);
    if (version === undefined) return { agreed: true, protocol: this.#server.protocols.oldest };
    return agreement(this.#server, agent, version);
  }

  forAll(): number {
    const told = [...this.#agents.values()].map(({ protocols }) => protocols);
    return protocolForAll(this.#server.protocols, told);
  }
}
