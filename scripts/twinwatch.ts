#!/usr/bin/env node
import { describeError, exitCodeOf } from './cli/describe-error.js';
import { createProgram } from './cli/program.js';

// ONNX Runtime would keep a device id and usage records in the home directory, and send them off. Nothing that runs in a plant does.
process.env.ORT_DISABLE_TELEMETRY = '1';

const verbose = process.argv.includes('--verbose');
try {
  await createProgram().parseAsync(process.argv);
} catch (error) {
  process.stderr.write(`${describeError(error, verbose)}\n`);
  process.exit(exitCodeOf(error));
}
