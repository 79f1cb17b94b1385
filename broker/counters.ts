/** What the broker refused or dropped since it was started. */
export interface BrokerCounters {
  refusedConnections: number;
  refusedPublishes: number;
  refusedSubscriptions: number;
  refusedRetained: number;
  oversizedPackets: number;
  droppedForFullQueue: number;
  storesMovedAside: number;
  storeErrors: number;
}

export function newCounters(): BrokerCounters {
  return {
    refusedConnections: 0,
    refusedPublishes: 0,
    refusedSubscriptions: 0,
    refusedRetained: 0,
    oversizedPackets: 0,
    droppedForFullQueue: 0,
    storesMovedAside: 0,
    storeErrors: 0,
  };
}
