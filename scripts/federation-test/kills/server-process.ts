import { openJournal } from '@twinwatch/twin-server/aggregator/sqlite-journal';
import { main } from '@twinwatch/twin-server/main';
import { endWithParent } from '../../cli/child-of.js';
import { type Death, recordedJournal } from './recorded-journal.js';

/** The twin-server as it ships, but for its journal: that one is recorded, and dies where it is told to. */

interface ServerSpec {
  readonly config: string;
  readonly record: string;
  readonly death: Death | null;
}

const { config, record, death } = JSON.parse(process.argv[2] ?? '') as ServerSpec;
endWithParent();
process.env.ORT_DISABLE_TELEMETRY = '1';
await main(config, (file) => recordedJournal(openJournal(file), record, death));
