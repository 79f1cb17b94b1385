import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type LoadedPlant, loadPlant } from '../plant-config.js';

const read = (path: string) => readFile(path, 'utf8');
/** Tests run from dist/twin/testing. */
const configs = new URL('../../../../configs/', import.meta.url);

export function configPath(relative: string): string {
  return fileURLToPath(new URL(relative, configs));
}

/** The reference plant as it ships. */
export function loadTestPlant(): Promise<LoadedPlant> {
  return loadPlant(configPath('reference-plant/plant.yaml'), read);
}
