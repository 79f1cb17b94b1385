import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { parseConfig } from '@twinwatch/core/config/load';
import { attackCatalogueSchema } from '@twinwatch/twin-server/twin/attacks';
import { type AttackEntry, importCpa } from '@twinwatch/twin-server/twin/cpa/import-cpa';
import { loadPlant } from '@twinwatch/twin-server/twin/plant-config';
import { type Document, isCollection, isSeq, parseDocument } from 'yaml';
import { readTextFile } from '../processes/read-config.js';
import { fromRepository } from '../processes/repository.js';

export interface ImportAttacksOptions {
  readonly plant: string;
  readonly network?: string;
  readonly out: string;
  readonly hours: number;
}

const WIDTH = 120;

/**
 * Adds the attack of each epanetCPA file to a catalogue, which is made where it is missing. What is in it already stays, comments included.
 * @throws TwinwatchError ATTACKS_CPA_INVALID, CONFIG_*, PLANT_ATTACK_INVALID
 */
export async function importAttacks(files: readonly string[], options: ImportAttacksOptions): Promise<void> {
  const plant = await loadPlant(fromRepository(options.plant), readTextFile, options.network);
  const text = existsSync(options.out) ? await readFile(options.out, 'utf8') : 'attacks: []\n';
  parseConfig(attackCatalogueSchema, text, options.out);
  const document: Document = parseDocument(text);
  if (!document.has('attacks')) document.set('attacks', document.createNode([]));
  const list = document.get('attacks');
  if (isSeq(list)) list.flow = false;
  for (const file of files) {
    const name = basename(file, '.cpa')
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-|-$/g, '');
    const { attack, notes } = importCpa(await readTextFile(file), basename(file), name, plant, options.hours);
    document.addIn(['attacks'], entryOf(document, attack));
    console.log(`${basename(file)} → ${name}, ${attack.duration}`);
    for (const note of notes) console.log(`  ${note}`);
  }
  const written = document.toString({ lineWidth: WIDTH, flowCollectionPadding: true });
  parseConfig(attackCatalogueSchema, written, options.out);
  await writeFile(options.out, written);
  console.log(`${options.out} written`);
}

/** As people write them: an effect a line. */
function entryOf(document: Document, attack: AttackEntry) {
  const entry = document.createNode(attack);
  for (const key of ['effects', 'concealment']) {
    const parts = entry.get(key);
    if (isSeq(parts)) for (const part of parts.items) if (isCollection(part)) part.flow = true;
  }
  return entry;
}
