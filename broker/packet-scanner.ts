/** PUBLISH, SUBSCRIBE, UNSUBSCRIBE and PINGREQ are what a client may flood with; acknowledgements answer what it was sent. */
const COUNTED = new Set([3, 8, 10, 12]);

export interface Scan {
  /** Of the chunk, in bytes, up to where the next counted packet would be one too many. */
  readonly length: number;
  /** Packets that begin in there and count against the rate. */
  readonly counted: number;
  /** Packets that begin in there. */
  readonly packets: number;
  /** False when a packet announces more than the maximum, or a length of more than four bytes. */
  readonly acceptable: boolean;
}

/**
 * Follows packets through a stream by their headers, before their bytes are kept: the parser behind it would collect up to 256 MB first.
 * Fixed header of MQTT 3.1.1, section 2.2: type and flags in one byte, then one to four bytes of remaining length.
 */
export class PacketScanner {
  readonly #maximumBytes: number;
  #inHeader = false;
  #length = 0;
  #shift = 0;
  #bodyBytes = 0;

  constructor(maximumBytes: number) {
    this.#maximumBytes = maximumBytes;
  }

  /** What is behind `length` is to be handed in again. */
  scan(chunk: Uint8Array, allowance: number): Scan {
    let [at, counted, packets] = [0, 0, 0];
    while (at < chunk.length) {
      if (this.#bodyBytes > 0) {
        const skipped = Math.min(this.#bodyBytes, chunk.length - at);
        this.#bodyBytes -= skipped;
        at += skipped;
      } else if (!this.#inHeader) {
        const counts = COUNTED.has(chunk[at]! >> 4);
        if (counts && counted >= allowance) break;
        if (counts) counted++;
        packets++;
        this.#inHeader = true;
        this.#length = 0;
        this.#shift = 0;
        at++;
      } else {
        const byte = chunk[at++]!;
        this.#length += (byte & 0x7f) * 2 ** this.#shift;
        this.#shift += 7;
        if (byte >= 0x80) {
          if (this.#shift >= 28) return { length: at, counted, packets, acceptable: false };
          continue;
        }
        if (this.#length > this.#maximumBytes) return { length: at, counted, packets, acceptable: false };
        this.#bodyBytes = this.#length;
        this.#inHeader = false;
      }
    }
    return { length: at, counted, packets, acceptable: true };
  }
}
