/**
 * Writes the files that follow from the sources: JSON Schemas, docs/configuration.md, docs/errors.md. With --check it writes
 * nothing and fails where one is out of date.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { agentSchema } from '@twinwatch/core/config/agent';
import { brokerSchema } from '@twinwatch/core/config/broker';
import { deviceTemplateSchema } from '@twinwatch/core/config/device-template';
import { plantSimSchema } from '@twinwatch/core/config/plant-sim';
import { serverFile } from '@twinwatch/core/config/server';
import { ERROR_CODES } from '@twinwatch/core/errors';
import { attackCatalogueSchema } from '@twinwatch/twin-server/twin/attacks';
import { plantSchema } from '@twinwatch/twin-server/twin/plant-config';
import { experimentSchema } from './experiments/runner/experiment-config.js';
import { type ConfigFile, configurationPage, unexplainedFields } from './generate/configuration-page.js';
import { codesWithoutAdvice, errorsPage } from './generate/errors-page.js';
import { jsonSchema, withPlaceholders } from './generate/json-schema.js';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const ERRORS_PAGE = 'docs/errors.md';

const CONFIG_FILES: readonly ConfigFile[] = [
  {
    name: 'agent',
    title: 'Agent',
    about: 'For `twinwatch agent --config FILE`, one per site.',
    schema: jsonSchema(agentSchema, 'Twinwatch agent'),
  },
  {
    name: 'device-template',
    title: 'Device template',
    about: 'The register map of one kind of device, named by `template:` in an agent’s file.',
    schema: jsonSchema(deviceTemplateSchema, 'Twinwatch device template'),
  },
  {
    name: 'server',
    title: 'Server',
    about: 'For `twinwatch server --config FILE`, one per federation.',
    schema: jsonSchema(serverFile, 'Twinwatch server'),
  },
  {
    name: 'broker',
    title: 'Broker',
    about: 'For `twinwatch broker --config FILE`; any other MQTT broker may stand in its place.',
    schema: jsonSchema(brokerSchema, 'Twinwatch broker'),
  },
  {
    name: 'plant-sim',
    title: 'Plant simulator',
    about: 'For `twinwatch plant --config FILE`.',
    schema: jsonSchema(plantSimSchema, 'Twinwatch plant simulator'),
  },
  {
    name: 'experiment',
    title: 'Experiment',
    about: 'For `twinwatch experiment FILE`; configs/experiments has those behind docs/results.',
    schema: jsonSchema(experimentSchema, 'Twinwatch experiment'),
  },
  {
    name: 'plant',
    title: 'Plant',
    about: 'What a plant is, for the twin and for the simulator: `plant.yaml` beside its network file.',
    schema: jsonSchema(plantSchema, 'Twinwatch plant'),
  },
  {
    name: 'attacks',
    title: 'Attack catalogue',
    about: 'Attacks as data, and how random ones are drawn for the twin: `attacks.yaml` beside `plant.yaml`.',
    schema: jsonSchema(attackCatalogueSchema, 'Twinwatch attack catalogue'),
  },
];

const textOf = (path: string): Promise<string> => readFile(join(ROOT, path), 'utf8').catch(() => '');

/** Path below the repository → what the file should hold. */
async function generated(): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const { name, schema } of CONFIG_FILES) {
    const written = name === 'device-template' ? withPlaceholders(schema) : schema;
    files.set(`configs/schema/${name}.json`, `${JSON.stringify(written, null, 2)}\n`);
  }
  files.set('docs/configuration.md', configurationPage(CONFIG_FILES));
  files.set(ERRORS_PAGE, errorsPage(ERROR_CODES, await textOf(ERRORS_PAGE)));
  return files;
}

async function main(check: boolean): Promise<number> {
  const files = await generated();
  const outdated: string[] = [];
  for (const [path, text] of files) if ((await textOf(path)) !== text) outdated.push(path);
  if (!check) {
    for (const path of outdated) {
      await mkdir(dirname(join(ROOT, path)), { recursive: true });
      await writeFile(join(ROOT, path), files.get(path) ?? '');
      console.log(`wrote ${path}`);
    }
    return 0;
  }
  const silent = codesWithoutAdvice(ERROR_CODES, await textOf(ERRORS_PAGE));
  const unexplained = unexplainedFields(configurationPage(CONFIG_FILES));
  for (const path of outdated) console.error(`${path} is out of date; run: node scripts/dist/generate.js`);
  for (const code of silent)
    console.error(`${ERRORS_PAGE}: ${code} has nothing in the column 'what to do'; write it there`);
  for (const field of unexplained)
    console.error(`core/config: ${field} has no description; add .meta({ description })`);
  return outdated.length + silent.length + unexplained.length === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.includes('--check'));
