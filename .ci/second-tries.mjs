import { appendFileSync } from 'node:fs';

/** A vitest reporter: tests that passed only on their second try go to the file TWINWATCH_SECOND_TRIES, for the summary to name. */
export default class SecondTries {
  onTestCaseResult(testCase) {
    const path = process.env.TWINWATCH_SECOND_TRIES;
    if (path !== undefined && testCase.diagnostic()?.flaky)
      appendFileSync(path, `${testCase.module.relativeModuleId}: ${testCase.fullName}\n`);
  }
}
