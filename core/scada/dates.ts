/** Times as historians write them. Without a zone they are taken as UTC, so that hours of the day stay what the file says. */

export type DateOrder = 'dmy' | 'mdy' | 'ymd';

const PARTS =
  /^(\d{1,4})[-/.](\d{1,2})[-/.](\d{1,4})(?:[T ]+(\d{1,2})(?::(\d{1,2}))?(?::(\d{1,2})(?:[.,](\d{1,3})\d*)?)?)? ?(Z|[+-]\d{2}:?\d{2})?$/;
const NUMBER = /^\d+(\.\d+)?$/;
/** Above this a bare number is milliseconds: as seconds it would be after the year 5000. */
const SECONDS_MAXIMUM = 1e11;

/** What one text says about the order of its parts: 'ambiguous' where day and month are both possible either way, null where it says nothing. */
export function orderEvidence(text: string): DateOrder | 'ambiguous' | null {
  const match = PARTS.exec(text.trim());
  if (match === null) return null;
  const [, first = '', second = ''] = match;
  if (first.length > 2) return 'ymd';
  if (Number(first) > 12) return 'dmy';
  return Number(second) > 12 ? 'mdy' : 'ambiguous';
}

/**
 * Milliseconds since 1970, or null for what is no time or no day of the calendar.
 * @param order for texts that do not start with a four-digit year.
 */
export function parseTime(text: string, order: DateOrder): number | null {
  const trimmed = text.trim();
  if (NUMBER.test(trimmed)) {
    const value = Number(trimmed);
    return Math.round(value > SECONDS_MAXIMUM ? value : value * 1_000);
  }
  const match = PARTS.exec(trimmed);
  if (match === null) return null;
  const [, a = '', b = '', c = '', hour = '0', minute = '0', second = '0', fraction = '0', zone = 'Z'] = match;
  const [yearText, month, day] = a.length > 2 || order === 'ymd' ? [a, b, c] : order === 'dmy' ? [c, b, a] : [c, a, b];
  const year = yearText.length <= 2 ? 2_000 + Number(yearText) : Number(yearText);
  const ms = Date.UTC(year, Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second));
  const check = new Date(ms);
  // Date.UTC rolls 31 February over into March, and hour 25 into the next day.
  const real =
    check.getUTCMonth() === Number(month) - 1 &&
    check.getUTCDate() === Number(day) &&
    Number(hour) < 24 &&
    Number(minute) < 60;
  return real ? ms + Number(fraction.padEnd(3, '0')) - zoneMs(zone) : null;
}

function zoneMs(zone: string): number {
  if (zone === 'Z') return 0;
  const digits = zone.replace(':', '');
  const minutes = Number(digits.slice(1, 3)) * 60 + Number(digits.slice(3, 5));
  return (digits.startsWith('-') ? -1 : 1) * minutes * 60_000;
}
