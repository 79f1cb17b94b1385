import { describe, expect, it } from 'vitest';
import { checkDeviceTemplate } from './device-template.js';

const FILE = `
parameters:
  first: { default: 0x10 }
  words: { default: 2 }
  ratio: { default: 1 }
  unit: { default: kW }
tags:
  - { name: '\${device}_P', unit: '\${unit}', register: holding, address: 2, type: INT16, scale: '\${ratio * 0.1}' }
  - { name: 'D\${first + i}', register: holding, address: '\${0x1000 + first + i}', type: INT16, repeat: '\${words}' }
  - { name: Z, register: holding, address: -1, type: INT16 }
`;
const good = FILE.replace('-1', '1');

describe('checkDeviceTemplate', () => {
  it('fills in what a device gives, and defaults for the rest', () => {
    const { value, problems } = checkDeviceTemplate(good, 'm.yaml', 'M1', { first: 100, words: 3, ratio: 40 });
    expect(problems).toEqual([]);
    const told = value!.tags.map(({ name, unit, address, scale }) => [name, unit, address, scale]);
    expect(told).toEqual([
      ['M1_P', 'kW', 2, 4],
      ['D100', '', 0x1000 + 100, 1],
      ['D101', '', 0x1000 + 101, 1],
      ['D102', '', 0x1000 + 102, 1],
      ['Z', '', 1, 1],
    ]);
    expect(checkDeviceTemplate(good, 'm.yaml', null, {}).value!.tags).toHaveLength(4);
  });

  it('places what is wrong in the file, not in what it expands to', () => {
    expect(checkDeviceTemplate(FILE, 'm.yaml', 'M1', {}).problems).toMatchObject([
      { line: 10, path: 'tags[2].address' },
    ]);
    const wrong = good.replace('unit: {', 'unti: {').replace("'${ratio * 0.1}'", "'${unit * 2}'");
    expect(
      checkDeviceTemplate(wrong, 'm.yaml', 'M1', { words: 'many' }).problems.map(({ line, message }) => [
        line,
        message,
      ]),
    ).toEqual([
      [8, "names 'unit', which is not a parameter; those of this template are device, first, words, ratio, unti"],
      [8, "names 'unit', which is not a parameter; those of this template are device, first, words, ratio, unti"],
      [9, 'must be a whole number up to 1000'],
      expect.arrayContaining([8]),
      expect.arrayContaining([8]),
    ]);
  });
});
