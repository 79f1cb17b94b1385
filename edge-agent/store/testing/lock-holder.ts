import { lockDirectory } from '../directory-lock.js';

/** For tests: holds a data directory, says so, and waits to be killed. */
lockDirectory(process.argv[2]!, 'agent other');
process.stdout.write('held\n');
setInterval(() => undefined, 1_000);
