import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname, extname, join, relative, resolve } from 'node:path';
import { TwinwatchError } from '@twinwatch/core/errors';
import { plantFromNetwork } from '@twinwatch/twin-server/twin/from-network/plant-from-network';
import { readTextFile } from '../processes/read-config.js';

export interface PlantFromNetworkOptions {
  readonly out: string;
  readonly force?: boolean;
}

/**
 * Writes plant.yaml, and attacks.yaml beside it, and tells what the network file does that is not in them.
 * @throws TwinwatchError CLI_USAGE where a file is there already; CONFIG_UNREADABLE, PLANT_NETWORK_INVALID, PLANT_HYDRAULICS_FAILED
 */
export async function writePlantFromNetwork(
  network: string,
  { out, force = false }: PlantFromNetworkOptions,
): Promise<void> {
  const catalogue = join(dirname(out), 'attacks.yaml');
  const there = [out, catalogue].filter((path) => existsSync(path));
  if (there.length > 0 && !force)
    throw new TwinwatchError(
      'CLI_USAGE',
      `${there.join(' and ')} ${there.length > 1 ? 'are' : 'is'} there already; name another folder with --out, or overwrite with --force`,
    );
  const file = {
    text: await readTextFile(network),
    path: network,
    reference: relative(resolve(dirname(out)), resolve(network)),
    attacks: basename(catalogue),
    name: plantName(network),
  };
  const { plant, attacks, loaded, unexpressed, remarks, warnings } = await plantFromNetwork(file);
  await mkdir(dirname(resolve(out)), { recursive: true });
  await writeFile(out, plant);
  await writeFile(catalogue, attacks);
  const { tags, controls, districts } = loaded.config;
  const plcs = new Set(tags.map(({ plc }) => plc)).size;
  console.log(
    `${out}: ${tags.length} tags on ${plcs} PLCs, ${controls.length} actuators, ${districts.length} districts`,
  );
  console.log(`${catalogue}: ${loaded.attacks.attacks.length} attacks`);
  for (const remark of remarks) console.log(remark);
  if (unexpressed.length > 0) console.log("Of the network file's control logic, this is not in it:");
  for (const { source, why } of unexpressed) console.log(`  ${source} (${why})`);
  for (const [words, count] of warnings) console.log(`EPANET warned in ${count} of the two days' steps: ${words}`);
  console.log(`Two days of it were simulated. Go through ${out}: its comments say what to look at.`);
}

function plantName(network: string): string {
  const name = basename(network, extname(network))
    .replace(/[^A-Za-z0-9_.-]/g, '-')
    .slice(0, 60);
  return /^[A-Za-z_]/.test(name) ? name : `plant-${name}`;
}
