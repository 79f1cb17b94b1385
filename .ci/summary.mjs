/** Sums vitest's JSON reports: `node summary.mjs FAILED_STEPS REPORT...` prints 'N passed, N failed' as its last line and fails with them. */
import { readFileSync } from 'node:fs';

const [failedSteps, ...reports] = process.argv.slice(2);
let passed = 0;
let failed = 0;
for (const path of reports) {
  const report = JSON.parse(readFileSync(path, 'utf8'));
  passed += report.numPassedTests;
  failed += report.numFailedTests;
  // A file that does not even load has no tests to count.
  failed += report.testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0).length;
}
// A step other than a test run that failed counts as one: the line must not look green where the run is not.
if (failed === 0) failed += Number(failedSteps);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
