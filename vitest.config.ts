import { defineConfig } from 'vitest/config';

const long = process.env.TWINWATCH_LONG === '1';
/** Whole federations as processes, over other brokers, too: `npm run test:federation` only. */
const federations = process.env.TWINWATCH_FEDERATION === '1' ? [] : ['**/dist/federation-test/**'];
/** Attempts at each attack of the threat model, and anything at every decoder: `npm run test:security` only. */
const attacks = process.env.TWINWATCH_SECURITY === '1' ? [] : ['**/dist/security-test/**'];

/** Tests run as compiled, from dist, so that the worker threads and processes they start are the ones that ship. */
export default defineConfig({
  test: {
    include: [long ? '**/dist/**/*.long.test.js' : '**/dist/**/*.test.js'],
    exclude: ['**/node_modules/**', ...federations, ...attacks, ...(long ? [] : ['**/*.long.test.js'])],
    // Native modules and worker threads: a process each, no more at once than two cores carry.
    env: { ORT_DISABLE_TELEMETRY: '1' },
    pool: 'forks',
    maxWorkers: 2,
    maxConcurrency: 2,
    testTimeout: long ? 600_000 : 30_000,
    hookTimeout: 30_000,
  },
});
