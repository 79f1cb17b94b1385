#!/usr/bin/env node
import { describeError, exitCodeOf } from './cli/describe-error.js';
import { createProgram } from './cli/program.js';

const verbose = process.argv.includes('--verbose');
try {
  await createProgram().parseAsync(process.argv);
} catch (error) {
  process.stderr.write(`${describeError(error, verbose)}\n`);
  process.exit(exitCodeOf(error));
}
