import { type AttackCatalogue, attackAt, findAttack } from '@twinwatch/twin-server/twin/attacks';
import type { Plant } from '@twinwatch/twin-server/twin/plant';
import type { RowSource } from './row-source.js';

/** Rows of a simulated plant: its PLCs answer what SCADA sees, concealment included. */
export function simulatedSource(plant: Plant, catalogue: AttackCatalogue): RowSource {
  return {
    tagNames: plant.tags.map(({ name }) => name),
    next() {
      const { timeMs, scada, attack } = plant.step();
      return { timeMs, values: scada, attack };
    },
    schedule({ name, startMs }) {
      plant.schedule(attackAt(findAttack(catalogue, name), startMs));
    },
    close() {
      plant.close();
    },
  };
}
