import { alone } from '../private-files.js';

/** Holds the lock of the directory it is given until it is killed, and says so. */
const [directory = ''] = process.argv.slice(2);
await alone(directory, async () => {
  process.send?.('holds it');
  await new Promise(() => setInterval(() => undefined, 1_000));
});
