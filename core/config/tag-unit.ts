import { z } from 'zod';
import { COMMON_UNITS, isKnownUnit, unitOfWord } from '../scada/engineering-units.js';
import { nearest } from './nearest.js';

/** Units of tags, as every file with tags has them. */

const LONGEST_UNIT = 16;

export const tagUnit = z.string().max(LONGEST_UNIT).default('').meta({
  description: "engineering unit, such as m, m3/h, L/s, bar, mg/L, °C or %; others are declared under 'units'",
});

export const declaredUnits = z
  .array(z.string().min(1).max(LONGEST_UNIT))
  .default([])
  .meta({ description: "units that the tags of this file use, other than the usual ones: ['trucks/d']" });

/** What is wrong with a tag's unit, or null. */
export function unitProblem(
  unit: string | undefined,
  declared: readonly (string | undefined)[] | undefined,
): string | null {
  if (unit === undefined || isKnownUnit(unit) || declared?.includes(unit)) return null;
  const meant = unitOfWord(unit) ?? nearest(unit, COMMON_UNITS);
  const advice =
    meant === null ? `write one such as ${COMMON_UNITS.slice(4, 12).join(', ')}.` : `did you mean '${meant}'?`;
  return `is not a usual engineering unit; ${advice} To keep it, add units: ['${unit}'] above tags`;
}
