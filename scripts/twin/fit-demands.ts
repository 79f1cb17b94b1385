import { readFile, writeFile } from 'node:fs/promises';
import { dirname, relative, resolve } from 'node:path';
import { demandFileText } from '@twinwatch/twin-server/twin/demand/demand-file';
import { fitToHistory } from '@twinwatch/twin-server/twin/demand/history';
import { loadPlant } from '@twinwatch/twin-server/twin/plant-config';
import { invalidRecording, type RecordingColumns } from '@twinwatch/twin-server/twin/recording';
import { readTextFile } from '../processes/read-config.js';
import { fromRepository } from '../processes/repository.js';

export interface FitDemandsOptions {
  readonly plant: string;
  readonly network?: string;
  readonly history: string;
  readonly out: string;
  readonly columns: RecordingColumns;
}

/** Writes demands fitted to a history as a file for plant.yaml's `demands:`. @throws TwinwatchError CONFIG_*, FEED_INVALID, PLANT_* */
export async function fitDemandsToFile({ plant, network, history, out, columns }: FitDemandsOptions): Promise<void> {
  const loaded = await loadPlant(fromRepository(plant), readTextFile, network);
  const bytes = await readFile(history).catch((cause: Error) => {
    throw invalidRecording(history, `cannot be read (${cause.message}); check the path`, cause);
  });
  const { fit, balances, rows } = await fitToHistory(loaded, bytes, history, columns);
  await writeFile(out, demandFileText(fit, `${rows} rows of ${history.split('/').at(-1)}`));
  for (const { name } of balances.balances) console.log(`seen: ${name}`);
  for (const words of balances.unseen) console.log(`not seen, left as it is: ${words}`);
  const fromPlant = relative(dirname(fromRepository(plant)), resolve(out));
  console.log(`${out}: ${Object.keys(fit.multipliers).length} districts; write 'demands: ${fromPlant}' into ${plant}`);
}
