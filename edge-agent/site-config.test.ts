import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TwinwatchError } from '@twinwatch/core/errors';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadSite } from './site-config.js';

const HEAD = 'federation: w\nagent: a\nbroker: { url: mqtt://127.0.0.1:1 }\ndataDir: d\ninterval: 1m\n';
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'twinwatch-site-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

async function problems(files: Record<string, string>): Promise<string[]> {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  const error = await loadSite(join(directory, 'agent.yaml')).then(
    () => null,
    (thrown: TwinwatchError) => thrown,
  );
  return (error?.message ?? '').replaceAll(`${directory}/`, '').split('\n  ');
}
const template = (...names: string[]) =>
  `tags:\n${names.map((name, i) => `  - { name: ${name}, register: holding, address: ${i}, type: INT16 }\n`).join('')}`;
const device = (name: string, unit: number, file: string) =>
  `      - { name: ${name}, unit: ${unit}, template: ${file} }\n`;

describe('loadSite', () => {
  it('names what is wrong in the file, in its templates and between them in one go', async () => {
    const bus = `buses:\n  - url: tcp://127.0.0.1:502\n    timeoutMs: fast\n    devices:\n`;
    const devices = device('P1', 1, 'plc1.yaml') + device('P1', 2, 'plc2.yml') + device('P3', 3, 'plc3.yaml');
    expect(
      await problems({
        'agent.yaml': `${HEAD}${bus}${devices}${device('P4', 4, 'plc4.yaml')}training: { labelTag: L_T9 }\n`,
        'plc1.yaml': template('L_T1', '9x'),
        'plc2.yaml': template('L_T1'),
        'plc3.yaml': template('F_PU1', 'L_T1'),
        'plc4.yaml': 'tags:\n\t- x\n',
      }),
    ).toEqual([
      'agent.yaml and what it names have 7 problems:',
      "agent.yaml:8:16 buses[0].timeoutMs: 'fast' does not fit; write a whole number from 10 to 60000 (longest wait for the answer to one request)",
      "agent.yaml:11:17 buses[0].devices[1].name: device 'P1' is there twice, also on tcp://127.0.0.1:502",
      "agent.yaml:11:40 buses[0].devices[1].template: 'plc2.yml' cannot be read: plc2.yml is not there; did you mean 'plc2.yaml'?",
      "agent.yaml:14:23 training.labelTag: 'L_T9' is not a tag of any device template that can be read; did you mean 'L_T1'?",
      "plc1.yaml:3:13 tags[1].name: '9x' must start with a letter and hold only letters, digits, _ . -",
      'plc4.yaml:2:1 (file): a tab is used for indentation; use spaces',
      "plc3.yaml:3:13 tags[1].name: tag 'L_T1' of 'P3' is also one of 'P1' (plc1.yaml); a site has each tag once",
    ]);
  });

  it('says that two devices cannot share a template, and that a certificate is not there', async () => {
    const devices = device('P1', 1, 'plc.yaml') + device('P2', 2, 'plc.yaml');
    const bus = `buses:\n  - url: tcp://127.0.0.1:502\n    devices:\n${devices}`;
    const agent = HEAD.replace('mqtt:', 'mqtts:').replace(':1 }', ':1, ca: ca.pem }') + bus;
    expect(await problems({ 'agent.yaml': agent, 'plc.yaml': template('L') })).toEqual([
      'agent.yaml has 2 problems:',
      expect.stringMatching(/^agent.yaml:3:\d+ broker.ca: .*names a file that cannot be read: ENOENT/),
      "agent.yaml:10:40 buses[0].devices[1].template: gives 'P2' the same tags as 'P1'; a site has each tag once, so give it a template of its own, or one whose tag names begin with ${device}",
    ]);
  });
});
