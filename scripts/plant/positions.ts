import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

/** How far each site had come, kept so that a plant that was stopped or killed goes on where it was. */

const positionsSchema = z.record(
  z.string(),
  z.object({
    rows: z.int().min(0),
    attacks: z.array(z.object({ name: z.string(), startMs: z.number() })),
  }),
);

export type Positions = z.infer<typeof positionsSchema>;

const FILE = 'plant-positions.json';

/** Empty where there is none yet, or where it cannot be read: a plant then starts at its first row. */
export function readPositions(dataDir: string): Positions {
  try {
    return positionsSchema.parse(JSON.parse(readFileSync(join(dataDir, FILE), 'utf8')));
  } catch {
    return {};
  }
}

/** Whole or not at all: a kill while it writes leaves the previous one. */
export function writePositions(dataDir: string, positions: Positions): void {
  mkdirSync(dataDir, { recursive: true });
  const temporary = join(dataDir, `${FILE}.new`);
  writeFileSync(temporary, JSON.stringify(positions));
  renameSync(temporary, join(dataDir, FILE));
}
