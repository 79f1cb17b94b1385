/** What the broker refused or dropped since it was started. */
export interface BrokerCounters {
  refusedConnections: number;
  /** Connected, and no longer let in: revoked, or out of the list of users. */
  cutOff: number;
  /** Refused without a look at the password, because there were too many wrong ones before. */
  lockedOut: number;
  /** Times a client that was too fast was not read until it had a token again. */
  heldBack: number;
  /** Messages that were not read on because the disk was full and the memory for its messages, too. */
  heldForRoom: number;
  /** QoS 0 for subscribers that do not read what they get. */
  droppedForSlowClient: number;
  cutOffAsSlow: number;
  refusedPublishes: number;
  refusedSubscriptions: number;
  refusedRetained: number;
  oversizedPackets: number;
  droppedForFullQueue: number;
  /** Sessions whose clients did not come back for too long. */
  expiredSessions: number;
  /** Sessions dropped for others, because there were as many as may be. */
  evictedSessions: number;
  /** Clients without a session yet that found no room for one. */
  refusedSessions: number;
  /** Messages that waited in sessions that were dropped. */
  droppedWithSession: number;
  storesMovedAside: number;
  storeErrors: number;
}

export function newCounters(): BrokerCounters {
  return {
    refusedConnections: 0,
    cutOff: 0,
    lockedOut: 0,
    heldBack: 0,
    heldForRoom: 0,
    droppedForSlowClient: 0,
    cutOffAsSlow: 0,
    refusedPublishes: 0,
    refusedSubscriptions: 0,
    refusedRetained: 0,
    oversizedPackets: 0,
    droppedForFullQueue: 0,
    expiredSessions: 0,
    evictedSessions: 0,
    refusedSessions: 0,
    droppedWithSession: 0,
    storesMovedAside: 0,
    storeErrors: 0,
  };
}
