import { expect, it } from 'vitest';
import { everyDeath, killLines, laterDeaths } from './kill-run.js';
import { killStory } from './kill-story.js';

const LATER_DEATHS = 224;
const RANDOM_KILLS = 250;
const HOURS_MS = 3 * 3_600_000;

it(
  'loses no update and doubles none in 500 kills',
  async () => {
    const deaths = [...everyDeath(), ...laterDeaths(LATER_DEATHS, 'later')];
    const { report, verified, released, running } = await killStory({
      deaths,
      randomKills: RANDOM_KILLS,
      seed: 'long',
    });
    console.log(killLines(report, verified).join('\n'));
    expect(report.kills).toBeGreaterThanOrEqual(500);
    expect(released).not.toBeNull();
    for (const manifest of running.values())
      expect([manifest?.modelVersion, manifest?.model]).toEqual([released?.modelVersion, released?.model]);
  },
  HOURS_MS,
);
