import { parentPort, workerData } from 'node:worker_threads';
import { AgentDatabase, type StoreOptions, type StoreWrite } from './agent-database.js';
import type { CallOutcome, FromWorker, StoreWork, ToWorker } from './store-messages.js';

/** The thread that owns the agent's database: libsql is synchronous, and a slow disk must make nobody else wait. */

const port = parentPort!;
const tell = (message: FromWorker) => port.postMessage(message);
const describe = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** Calls are answered even where the disk refuses what was written before them: what is asked then is what there is. */
function perform(database: AgentDatabase, work: readonly StoreWork[]): FromWorker {
  const outcomes: CallOutcome[] = [];
  let writes: StoreWrite[] = [];
  let written = 0;
  let refused: string | null = null;
  const flush = () => {
    if (writes.length === 0 || refused !== null) return;
    try {
      database.apply(writes);
      written += writes.length;
    } catch (error) {
      refused = describe(error);
    }
    writes = [];
  };
  for (const item of work) {
    if (item.kind === 'write') {
      writes.push(item.write);
      continue;
    }
    flush();
    try {
      const call = database[item.call] as (...values: readonly unknown[]) => unknown;
      outcomes.push({ value: call.apply(database, [...item.arguments]) });
    } catch (error) {
      outcomes.push({ error: describe(error) });
    }
  }
  flush();
  return { kind: 'done', outcomes, written, refused };
}

function serve(): void {
  const database = AgentDatabase.open(
    workerData as StoreOptions,
    () => new Date().toISOString().replaceAll(/[:.]/g, '-'),
    (message) => tell({ kind: 'told', message }),
  );
  port.on('message', (message: ToWorker) => {
    if (message.kind === 'close') {
      database.close();
      port.close();
      return;
    }
    tell(perform(database, message.work));
  });
  tell({ kind: 'opened' });
}

serve();
