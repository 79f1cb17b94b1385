import { createRandom } from '@twinwatch/core/learning/random';
import { describe, expect, it } from 'vitest';
import { ATTACK_FAMILIES, type AttackFamily, checkAttack } from './attacks.js';
import type { Control, PlantConfig } from './plant-config.js';
import { drawRandomAttack } from './random-attacks.js';
import { loadTestPlant } from './testing/load-test-plant.js';

describe('attacks drawn at random', () => {
  it('fit the plant, keep to the ranges, and cover every kind, target and concealment', async () => {
    const { config, attacks } = await loadTestPlant();
    const random = createRandom(1);
    const drawn = Array.from({ length: 600 }, () => drawRandomAttack(config, random, 1_000_000, attacks.random));
    const [shortest, longest] = attacks.random.duration;
    for (const attack of drawn) {
      expect(() => checkAttack(config, attack)).not.toThrow();
      for (const { startMs, endMs } of attack.effects)
        expect([startMs, endMs - startMs >= shortest, endMs - startMs <= longest]).toEqual([1_000_000, true, true]);
      for (const { startMs, endMs } of attack.concealments)
        expect([startMs >= attack.startMs, endMs <= attack.endMs]).toEqual([true, true]);
    }
    const kinds = new Set(
      drawn.flatMap(({ effects, concealments }) => [...effects, ...concealments].map(({ kind }) => kind)),
    );
    expect([...kinds].sort()).toEqual([
      'force',
      'freeze',
      'link',
      'polyline',
      'replay',
      'sensor',
      'speed',
      'thresholds',
    ]);
    const targets = new Set(drawn.flatMap(({ targets }) => targets));
    for (const { actuator } of config.controls) expect(targets).toContain(actuator);
    const concealed = drawn.filter(({ concealments }) => concealments.length > 0).length / drawn.length;
    expect(concealed).toBeGreaterThan(0.5);
    expect(concealed).toBeLessThan(0.75);
  });

  it('keep to the families that are asked for, and say where a plant allows none', async () => {
    const { config, attacks } = await loadTestPlant();
    const draw = (families: readonly AttackFamily[], seed: number) =>
      drawRandomAttack(config, createRandom(seed), 0, { ...attacks.random, families: [...families] });
    for (const family of ATTACK_FAMILIES) {
      const others = ATTACK_FAMILIES.filter((other) => other !== family);
      for (let seed = 0; seed < 40; seed++) {
        const alone = draw([family], seed);
        const kinds = alone.effects.map(({ kind }) => kind);
        expect([alone.name, kinds.every((kind) => kind === family)]).toEqual([`random-${family}`, true]);
        const without = draw(others, seed);
        expect(without.effects.map(({ kind }) => kind)).not.toContain(family);
        expect(without.name).not.toBe(`random-${family}`);
      }
    }
    const unlinked = {
      ...config,
      controls: config.controls.map((control) => ({ ...control, plc: plcOf(config, control) })),
    };
    expect(() => drawRandomAttack(unlinked, createRandom(1), 0, { ...attacks.random, families: ['link'] })).toThrow(
      expect.objectContaining({ code: 'PLANT_ATTACK_INVALID' }),
    );
  });

  it('are the same for the same seed', async () => {
    const { config, attacks } = await loadTestPlant();
    const draw = (seed: number) => drawRandomAttack(config, createRandom(seed), 0, attacks.random);
    expect(draw(3)).toEqual(draw(3));
    expect(draw(3)).not.toEqual(draw(4));
  });
});

/** The PLC that measures what the control's rules look at. */
function plcOf(config: PlantConfig, { plc, on }: Control): string {
  return config.tags.find(({ name }) => name === on?.tag)?.plc ?? plc;
}
