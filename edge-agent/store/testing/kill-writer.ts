import { AgentDatabase } from '../agent-database.js';

/** For tests: writes rows and alarms without end, says after each batch how far it is, and waits to be killed. */
const database = AgentDatabase.open(
  { directory: process.argv[2]!, maximumRows: 1e6, maximumBytes: 1e9, maximumOutboxEvents: 1e6, maximumBlobBytes: 1e6 },
  () => 'stamp',
  () => undefined,
);
for (let i = 0; ; i++) {
  const alarmState = JSON.stringify({ rowTimeMs: i, alarmNumber: i, transitionNumber: 1 });
  database.apply([
    {
      op: 'alarm',
      alarmState,
      event: {
        eventId: `site:${i}:1`,
        alarmId: `site:${i}`,
        agent: 'site',
        transition: 'raised',
        atMs: i,
        score: 1,
        threshold: 0.5,
        modelVersion: 'm',
        contributions: [],
        latencyMs: 1,
      },
    },
    { op: 'row', timeMs: i, sequence: i, tags: ['a'], values: Float64Array.of(i), label: -1, score: 1, alarmState },
  ]);
  process.stdout.write(`${i}\n`);
}
