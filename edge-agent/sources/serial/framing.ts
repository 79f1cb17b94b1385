/** Bytes of a line → frames, pure. */

export interface FrameOptions {
  /** Null for frames of a fixed length. */
  readonly delimiter: Buffer | null;
  /** Of a fixed frame. */
  readonly length: number;
}

/** Without its end a frame longer than this is noise, or the wrong speed: it is given up. */
const LONGEST_FRAME = 4_096;

export interface TakenFrames {
  readonly frames: readonly Buffer[];
  readonly rest: Buffer;
  /** Bytes given up because no frame ended in time. */
  readonly dropped: number;
}

export function takeFrames(bytes: Buffer, { delimiter, length }: FrameOptions): TakenFrames {
  const frames: Buffer[] = [];
  let at = 0;
  if (delimiter === null) {
    for (; bytes.length - at >= length; at += length) frames.push(bytes.subarray(at, at + length));
    return { frames, rest: bytes.subarray(at), dropped: 0 };
  }
  for (let end = bytes.indexOf(delimiter, at); end >= 0; end = bytes.indexOf(delimiter, at)) {
    frames.push(bytes.subarray(at, end));
    at = end + delimiter.length;
  }
  const rest = bytes.subarray(at);
  return rest.length > LONGEST_FRAME
    ? { frames, rest: Buffer.alloc(0), dropped: rest.length }
    : { frames, rest, dropped: 0 };
}

/** The frame without what carries its checksum; null where it does not hold. */
export function checked(text: string, checksum: 'none' | 'nmea' | 'sum8'): string | null {
  if (checksum === 'none') return text;
  if (checksum === 'nmea') {
    const match = /^[$!](.*)\*([0-9A-Fa-f]{2})$/.exec(text);
    if (match === null) return null;
    const sum = [...Buffer.from(match[1]!, 'latin1')].reduce((a, b) => a ^ b, 0);
    return sum === Number.parseInt(match[2]!, 16) ? text.slice(0, -3) : null;
  }
  const given = text.slice(-2);
  const sum = [...Buffer.from(text.slice(0, -2), 'latin1')].reduce((a, b) => (a + b) & 0xff, 0);
  return /^[0-9A-Fa-f]{2}$/.test(given) && sum === Number.parseInt(given, 16) ? text.slice(0, -2) : null;
}
