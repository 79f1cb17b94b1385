/** Bytes of a line → frames, pure. */

export interface FrameOptions {
  /** Null for frames of a fixed length. */
  readonly delimiter: Buffer | null;
  /** Of a fixed frame. */
  readonly length: number;
}

/** Without its end a frame longer than this is noise, or the wrong speed: it is given up. */
const LONGEST_FRAME = 4_096;

interface TakenFrames {
  readonly frames: readonly Buffer[];
  readonly rest: Buffer;
  /** Bytes given up because no frame ended in time. */
  readonly dropped: number;
}

function takeFrames(bytes: Buffer, { delimiter, length }: FrameOptions): TakenFrames {
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

/** Bytes of one frame follow each other; a pause this long is between two. USB adapters and networks pause for less. */
const FRAME_GAP_MS = 500;

export interface LineState {
  /** Bytes of the frame that has begun. */
  readonly rest: Buffer;
  /** Whether the next byte is known to belong to `rest`, or to begin a frame. */
  readonly isInStep: boolean;
  /** Monotonic ms of the newest byte, or of when the line was opened. */
  readonly lastMs: number;
}

export function openedLine(nowMs: number): LineState {
  return { rest: Buffer.alloc(0), isInStep: false, lastMs: nowMs };
}

/**
 * A line that is opened in the middle of a frame, or a sender that gets stuck in one, must not make a whole frame out of parts: '120' cut to '20'
 * reads as well as any. So bytes count from the first delimiter on, or from the first pause; and what began before a pause is given up.
 */
export function lineStep(
  state: LineState,
  bytes: Buffer,
  nowMs: number,
  options: FrameOptions,
): { state: LineState; frames: readonly Buffer[]; dropped: number } {
  const hasPaused = nowMs - state.lastMs >= FRAME_GAP_MS;
  let isInStep = state.isInStep || hasPaused;
  let rest = hasPaused ? bytes : Buffer.concat([state.rest, bytes]);
  if (!isInStep) {
    const { delimiter } = options;
    const end = delimiter === null ? -1 : rest.indexOf(delimiter);
    // Not more than could be the first half of a delimiter is kept.
    if (end < 0) rest = rest.subarray(Math.max(0, rest.length - (delimiter?.length ?? 1) + 1));
    else rest = rest.subarray(end + delimiter!.length);
    isInStep = end >= 0;
    if (!isInStep) return { state: { rest: Buffer.from(rest), isInStep, lastMs: nowMs }, frames: [], dropped: 0 };
  }
  const taken = takeFrames(rest, options);
  // A copy: the rest must not hold on to all that came with it.
  return {
    state: { rest: Buffer.from(taken.rest), isInStep, lastMs: nowMs },
    frames: taken.frames,
    dropped: taken.dropped,
  };
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
