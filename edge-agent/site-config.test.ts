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

  it('refuses unit 0 where frames are those of a serial line, where nobody answers it, and takes it over TCP', async () => {
    const bus = (url: string, name: string) =>
      `  - { url: '${url}', devices: [{ name: ${name}, unit: 0, template: ${name}.yaml }] }\n`;
    const urls = ['rtu:///dev/ttyS0', 'ascii+tcp://10.0.0.1:4001', 'tcp://10.0.0.2:502'];
    const buses = urls.map((url, i) => bus(url, `P${i}`)).join('');
    const files = Object.fromEntries(urls.map((_, i) => [`P${i}.yaml`, template(`L${i}`)]));
    const message =
      'unit: 0 is broadcast on a serial line: every device hears it and none answers; write the address that is set at the device, 1 to 247';
    expect(await problems({ 'agent.yaml': `${HEAD}buses:\n${buses}`, ...files })).toEqual([
      'agent.yaml has 2 problems:',
      `agent.yaml:7:60 buses[0].devices[0].${message}`,
      `agent.yaml:8:69 buses[1].devices[0].${message}`,
    ]);
  });

  it('holds brokers of sources and of the Sparkplug publisher to the same rules as the agent’s own', async () => {
    const source = (name: string, access: string) =>
      `  - { kind: mqtt, name: ${name}, ${access}, tags: [{ name: ${name}, topic: t }] }\n`;
    const sources =
      source('A', 'url: mqtts://h, ca: gone.pem') +
      source('B', 'url: mqtt://u:secret@h') +
      source('C', 'url: mqtt://h, cert: c.pem') +
      source('D', 'username: u');
    const [, ...told] = await problems({
      'agent.yaml': `${HEAD}sparkplug: { group: G, url: mqtts://h, key: k.pem }\nsources:\n${sources}`,
    });
    const withoutPlace = told.map((line) => line.replace(/^agent.yaml:\d+:\d+ /, ''));
    expect(withoutPlace).toEqual(
      [
        /^sparkplug\.key: 'k\.pem' needs cert beside it|^sparkplug\.key: needs cert beside it/,
        /^sparkplug\.key: .*names a file that cannot be read/,
        /^sources\[0\]\.ca: .*names a file that cannot be read: ENOENT/,
        /^sources\[1\]\.url: a URL is logged, so it holds no login/,
        /^sources\[2\]\.cert: needs key beside it/,
        /^sources\[2\]\.cert: 'c\.pem' is for TLS only/,
        /^sources\[2\]\.cert: .*names a file that cannot be read/,
        /^sources\[3\]\.username: 'u' is for a broker of its own, and needs url beside it/,
      ].map((text) => expect.stringMatching(text)),
    );
    expect(told.join()).not.toContain('secret');
  });
});
