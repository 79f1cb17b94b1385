import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { agentSchema } from '@twinwatch/core/config/agent';
import { brokerSchema } from '@twinwatch/core/config/broker';
import { checkDeviceTemplate } from '@twinwatch/core/config/device-template';
import { parseConfig } from '@twinwatch/core/config/load';
import { plantSimSchema } from '@twinwatch/core/config/plant-sim';
import { serverFile } from '@twinwatch/core/config/server';
import { attackCatalogueSchema } from '@twinwatch/twin-server/twin/attacks';
import { plantSchema } from '@twinwatch/twin-server/twin/plant-config';
import { expect, it } from 'vitest';
import type { z } from 'zod';
import { experimentSchema } from '../experiments/runner/experiment-config.js';

const CONFIGS = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..', 'configs');

const files = readdirSync(CONFIGS, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.yaml'))
  .map((path) => path.replaceAll('\\', '/'));

/** Null for a device template. */
function schemaOf(path: string): z.ZodType | null {
  if (path.startsWith('experiments/')) return experimentSchema;
  const isExample = path.startsWith('examples/');
  if (/(^|\/)agent[^/]*$/.test(path)) return agentSchema;
  if (path.endsWith('/server.yaml')) return serverFile;
  if (path.endsWith('/broker.yaml')) return brokerSchema;
  if (path.endsWith('/attacks.yaml')) return attackCatalogueSchema;
  if (path.endsWith('/feed.yaml')) return plantSimSchema;
  if (path.endsWith('/plant.yaml')) return isExample ? plantSimSchema : plantSchema;
  return null;
}

/** Every path that a file names, relative to it. */
function namedFiles(path: string): string[] {
  const text = readFileSync(join(CONFIGS, path), 'utf8');
  const names = [...text.matchAll(/(?:template|plant|\$schema|network|attacks)[:=] ?([\w./-]+\.(?:yaml|json|inp))/g)];
  return names.map((match) => resolve(CONFIGS, dirname(path), match[1] ?? ''));
}

it.each(files)('%s is a valid configuration', (path) => {
  const schema = schemaOf(path);
  const text = readFileSync(join(CONFIGS, path), 'utf8');
  if (schema === null) expect(checkDeviceTemplate(text, path, null, {}).problems).toEqual([]);
  else parseConfig(schema, text, path);
});

it('files that examples name are there', () => {
  const named = files.filter((path) => path.startsWith('examples/')).flatMap(namedFiles);
  expect(named.length).toBeGreaterThan(8);
  for (const path of named) readFileSync(path);
});
