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
      'tags.6.bit: only a BIT in a holding or input register has a bit number; leave it out',
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

  it('lets the bits of a register be tags of their own, but not the same bit twice', () => {
    const bits = (second: number) => ({
      tags: [tag({ type: 'BIT', bit: 1 }), tag({ name: 'U', type: 'BIT', bit: second })],
    });
    expect(wrong(bits(2))).toEqual([]);
    expect(wrong(bits(1))).toEqual(['tags.1.address: holding 0 overlaps T at 0–0']);
  });
});
