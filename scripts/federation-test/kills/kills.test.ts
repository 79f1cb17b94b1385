import { expect, it } from 'vitest';
import { everyDeath, killLines } from './kill-run.js';
import { killStory } from './kill-story.js';

const RANDOM_KILLS = 14;

it('loses no update and doubles none, whichever step the server is killed at and whoever is killed at any time', async () => {
  const deaths = everyDeath();
  const { report, verified, released, running } = await killStory({ deaths, randomKills: RANDOM_KILLS, seed: 'short' });
  console.log(killLines(report, verified).join('\n'));
  expect(report.kills).toBe(deaths.length + RANDOM_KILLS);
  expect(verified.rounds).toBeGreaterThan(RANDOM_KILLS);
  expect(verified.receipts).toBeGreaterThan(verified.rounds);
  expect(verified.detectors).toBeGreaterThan(0);
  expect(verified.trials).toBeGreaterThan(0);
  expect(released).not.toBeNull();
  for (const manifest of running.values())
    expect([manifest?.modelVersion, manifest?.model]).toEqual([released?.modelVersion, released?.model]);
}, 1_200_000);
