import { describe, expect, it } from 'vitest';
import { deviceTemplateSchema, templateTags } from './device-template.js';
import { parseConfig } from './load.js';

const tag = (rest: object) => ({ name: 'T', register: 'holding', address: 0, type: 'FLOAT32', ...rest });
const wrong = (template: object) =>
  (deviceTemplateSchema.safeParse(template).error?.issues ?? []).map(
    (issue) => `${issue.path.join('.')}: ${issue.message}`,
  );

describe('deviceTemplateSchema', () => {
  it('fills in what follows from the type', () => {
    const template = deviceTemplateSchema.parse({
      tags: [
        tag({}),
        tag({ name: 'F', address: 2, type: 'INT16', scale: -0.5 }),
        tag({ name: 'S', register: 'coil', type: 'BIT' }),
      ],
    });
    expect(templateTags(template)).toEqual([
      { name: 'T', unit: '', kind: 'analog', resolution: 0.01 },
      { name: 'F', unit: '', kind: 'analog', resolution: 0.5 },
      { name: 'S', unit: '', kind: 'status', resolution: 1 },
    ]);
  });

  it('names every contradiction at once, with its place', () => {
    expect(
      wrong({
        clock: { register: 'holding', address: 10 },
        tags: [
          tag({}),
          tag({ address: 20 }),
          tag({ name: 'U', address: 1, type: 'INT16' }),
          tag({ name: 'V', address: 13 }),
          tag({ name: 'W', register: 'coil' }),
          tag({ name: 'X', address: 65_535 }),
          tag({ name: 'Y', address: 30, bit: 3 }),
          tag({ name: 'Z', address: 40, minimum: 2, maximum: 1 }),
        ],
      }),
    ).toEqual([
      "tags.1.name: tag 'T' is there twice; tag names are unique in a site",
      'tags.2.address: holding 1 overlaps T at 0–1',
      'tags.3.address: holding 13 overlaps the clock at 10–13',
      'tags.4.type: a coil holds bits; write type: BIT, or another register',
      'tags.5.address: a FLOAT32 at 65535 runs past 65535',
      'tags.6.bit: only a BIT or BITS in a holding or input register has a bit number; leave it out',
      'tags.7.minimum: must be below maximum',
    ]);
  });

  it('names contradictions next to fields that are wrong in themselves', () => {
    const text = `tags:
  - { name: L, unit: m, resolution: lots, register: holding, address: 0, type: FLOAT32 }
  - { name: F, unit: 'mtr?!', register: holding, address: 1, type: FLOAT32 }
  - { name: L, register: holding, address: 9, type: FLOAT23 }
`;
    expect(() => parseConfig(deviceTemplateSchema, text, 'plc.yaml')).toThrow(`plc.yaml has 5 problems:
  plc.yaml:2:37 tags[0].resolution: 'lots' does not fit; write a number above 0`);
    expect(() => parseConfig(deviceTemplateSchema, text, 'plc.yaml')).toThrow(
      `plc.yaml:3:22 tags[1].unit: 'mtr?!' is not a usual engineering unit; did you mean 'm'? To keep it, add units: ['mtr?!'] above tags
  plc.yaml:3:59 tags[1].address: holding 1 overlaps L at 0–1
  plc.yaml:4:13 tags[2].name: tag 'L' is there twice; tag names are unique in a site
  plc.yaml:4:53 tags[2].type: 'FLOAT23' is not known here; did you mean FLOAT32?`,
    );
    expect(wrong({ units: ['trucks/d'], tags: [tag({ unit: 'trucks/d' })] })).toEqual([]);
  });

  it('takes references as manuals write them where the file says so, and only there', () => {
    const places = (addresses: object, ...tags: object[]) =>
      deviceTemplateSchema.parse({ ...addresses, tags }).tags.map(({ address }) => address);
    const bit = { type: 'BIT' };
    expect(
      places(
        { addresses: 'reference' },
        tag({ address: 40_001 }),
        tag({ name: 'S', address: 465_535 }),
        tag({ name: 'I', register: 'input', address: 30_101 }),
        tag({ name: 'D', register: 'discrete', address: 10_001, ...bit }),
        tag({ name: 'C', register: 'coil', address: 1, ...bit }),
      ),
    ).toEqual([0, 65_534, 100, 0, 0]);
    expect(places({}, tag({ address: 40_001 }))).toEqual([40_001]);
    expect(wrong({ addresses: 'reference', tags: [tag({ address: 30_001 })] })).toEqual([
      'tags.0.address: is not a reference of a holding; in this notation holding registers begin at 40001',
    ]);
    expect(wrong({ tags: [tag({ address: 400_001 })] })[0]).toContain("write addresses: 'reference' above tags");
    const sameRegister = [tag({ address: 40_001 }), tag({ name: 'U', address: 400_002 })];
    expect(wrong({ addresses: 'reference', tags: sameRegister })).toEqual([
      'tags.1.address: holding 400002 overlaps T at 0–1',
    ]);
  });

  it('holds types, parts of registers, groups and intervals to each other', () => {
    expect(
      wrong({
        groups: { fast: '100ms' },
        maximumRegisters: 4,
        tags: [
          tag({ type: 'BITS', bit: 10, bits: 7 }),
          tag({ name: 'B', address: 2, type: 'BITS' }),
          tag({ name: 'C', address: 3, type: 'STRING' }),
          tag({ name: 'D', address: 4, type: 'STRING', length: 8 }),
          tag({ name: 'E', address: 20, type: 'INT8L' }),
          tag({ name: 'F', address: 20, type: 'UINT8H', group: 'slow' }),
          tag({ name: 'G', address: 30, interval: '1s', group: 'fast' }),
          tag({ name: 'H', address: 40, length: 2 }),
        ],
      }),
    ).toEqual([
      'tags.0.bits: run past bit 15 of the register',
      'tags.1.bits: BITS need a number of bits, from 2 to 16',
      'tags.2.length: a STRING needs a number of registers',
      'tags.3.type: a STRING has more registers than one read may ask for, which is 4',
      "tags.5.group: 'slow' is not one of the template's groups; declare it under groups",
      'tags.6.group: and interval are two answers to one question; keep one',
      'tags.7.length: only a STRING has a length; a FLOAT32 has one of its own',
    ]);
    const letters = { tags: [tag({}), tag({ name: 'S', address: 9, type: 'STRING', length: 4 })] };
    expect(templateTags(deviceTemplateSchema.parse(letters)).map(({ name }) => name)).toEqual(['T']);
  });

  it('wants of what is invalid that the type can read it', () => {
    const tags = (type: string, ...invalid: number[]) => ({ tags: [tag({ type, invalid })] });
    expect(wrong(tags('INT16', -1, 65_535))).toEqual([
      'tags.0.invalid: INT16 reads whole numbers from -32768 to 32767, never 65535; give raw values as the type reads them, 65535 of an INT16 as -1',
    ]);
    expect(wrong(tags('UINT64', 2 ** 64))).toEqual([]);
    expect(wrong(tags('FLOAT32', 3.4028235e38))).toEqual([]);
    expect(wrong(tags('FLOAT32', 1e39))).toHaveLength(1);
  });

  it('lets the bits of a register be tags of their own, but not the same bit twice', () => {
    const bits = (second: number) => ({
      tags: [tag({ type: 'BIT', bit: 1 }), tag({ name: 'U', type: 'BIT', bit: second })],
    });
    expect(wrong(bits(2))).toEqual([]);
    expect(wrong(bits(1))).toEqual(['tags.1.address: holding 0 overlaps T at 0–0']);
  });
});
