/** Shared by agents' and the server's status: retained on the broker, and sent by it as last will. */
interface Presence {
  readonly online: boolean;
  readonly connectionId: string;
}

/**
 * Whether `incoming` replaces what is known. The will of an old connection may be published long after the next connection said that it
 * is online (half-open sockets, a broker that was restarted), so an "offline" counts only for the connection it belongs to.
 */
export function supersedes(known: Presence | null, incoming: Presence): boolean {
  return incoming.online || known === null || !known.online || known.connectionId === incoming.connectionId;
}
