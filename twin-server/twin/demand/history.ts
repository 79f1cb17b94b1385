import { siteProfile } from '@twinwatch/core/calibration/site-profile';
import { Hydraulics } from '../hydraulics.js';
import type { LoadedPlant } from '../plant-config.js';
import { plantTags } from '../plant-config.js';
import { parseRecording, type RecordingColumns } from '../recording.js';
import { type DemandFit, fitDemands } from './fit-demands.js';
import { type NetworkBalances, networkBalances } from './network-balances.js';

/** @throws TwinwatchError PLANT_NETWORK_INVALID */
export async function balancesOf({
  config,
  network,
}: Pick<LoadedPlant, 'config' | 'network'>): Promise<NetworkBalances> {
  const hydraulics = await Hydraulics.open(network, config.network);
  try {
    return networkBalances(config, hydraulics);
  } finally {
    hydraulics.close();
  }
}

export interface HistoryFit {
  readonly fit: DemandFit;
  readonly balances: NetworkBalances;
  /** Rows that were fitted to: those labelled as attacks are left out. */
  readonly rows: number;
}

/** Demands of `plant` as a history file shows them. @throws TwinwatchError FEED_INVALID, PLANT_NETWORK_INVALID, PLANT_DEMAND_UNSEEN */
export async function fitToHistory(
  plant: LoadedPlant,
  bytes: Uint8Array,
  file: string,
  columns: RecordingColumns,
): Promise<HistoryFit> {
  const { config } = plant;
  const tags = plantTags(config);
  const names = tags.map(({ name }) => name);
  const recording = parseRecording(bytes, file, names, columns);
  const rows = recording.rows.filter((_, i) => recording.labels?.[i] !== 1);
  const balances = await balancesOf(plant);
  const request = { originMs: Date.parse(config.start), balances: balances.balances };
  return {
    fit: fitDemands(config, balances, siteProfile(rows, tags, recording.intervalMs, request)),
    balances,
    rows: rows.length,
  };
}
