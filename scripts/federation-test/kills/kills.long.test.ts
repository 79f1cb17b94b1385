import { expect, it } from 'vitest';
import { afterReadyMs, everyDeath, killLines, laterDeaths } from './kill-run.js';
import { killStory } from './kill-story.js';

const LATER_DEATHS = 224;
const RANDOM_KILLS = 250;
/** Of 95 in a hundred, from when the process is up again; a busy machine delays some of them for reasons that are not ours. */
const GOES_ON_WITHIN_MS = 5_000;
const HOURS_MS = 3 * 3_600_000;

it(
  'loses no update and doubles none in 500 kills',
  async () => {
    const deaths = [...everyDeath(), ...laterDeaths(LATER_DEATHS, 'later')];
    const { report, verified, released, running } = await killStory({
      deaths,
      randomKills: RANDOM_KILLS,
      seed: 'long',
      // So long that many kills fall into each.
      trial: { shadow: '6s', canary: '10s' },
    });
    console.log(killLines(report, verified).join('\n'));
    expect(report.kills).toBeGreaterThanOrEqual(500);
    // How many models are released, and so tried, is up to the rounds.
    expect(report.inTrial).toBeGreaterThan(20);
    for (const [kind, recoveries] of report.recoveries) {
      const sorted = afterReadyMs(recoveries).sort((a, b) => a - b);
      const late = sorted[Math.floor(0.95 * sorted.length)] ?? 0;
      expect(late, `${kind}, from ready to the next step of a round`).toBeLessThanOrEqual(GOES_ON_WITHIN_MS);
    }
    expect(released).not.toBeNull();
    for (const manifest of running.values())
      expect([manifest?.modelVersion, manifest?.model]).toEqual([released?.modelVersion, released?.model]);
  },
  HOURS_MS,
);
