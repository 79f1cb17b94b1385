export const DAYS_A_YEAR = 365.25;
const YEAR_MS = DAYS_A_YEAR * 86_400_000;

/** 0 at the start of a year, 2π at its end. */
export function yearAngle(timeMs: number): number {
  return (2 * Math.PI * (timeMs - Date.UTC(new Date(timeMs).getUTCFullYear(), 0, 1))) / YEAR_MS;
}
