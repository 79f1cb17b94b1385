/**
 * Writes the files of docs/another-plant.md: `node scripts/dist/pump-loop/generate.js [folder]` (data/pump-loop without one).
 * twin.csv: labelled episodes; site-1…3.csv: normal running of three loops; feed.csv: a fourth loop, with faults that no other file has.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { csvOf, episodesOfTwin, feedRows, siteRows } from './recordings.js';

const folder = resolve(process.argv[2] ?? 'data/pump-loop');
mkdirSync(folder, { recursive: true });
const files = {
  'twin.csv': episodesOfTwin(160, 1),
  ...Object.fromEntries([1, 2, 3].map((site) => [`site-${site}.csv`, [siteRows(`site ${site}`, 10)]])),
  'feed.csv': [feedRows('feed', 10)],
};
for (const [name, episodes] of Object.entries(files)) {
  writeFileSync(join(folder, name), csvOf(episodes));
  const rows = episodes.reduce((sum, episode) => sum + episode.length, 0);
  console.log(`${join(folder, name)}: ${rows} rows`);
}
