/**
 * Finds packets that are too large from their headers, before their bytes are kept: the parser behind it would collect up to
 * 256 MB first. Fixed header of MQTT 3.1.1, section 2.2: one byte, then one to four bytes of remaining length.
 */
export class PacketSizeGuard {
  readonly #maximumBytes: number;
  #inHeader = false;
  #length = 0;
  #shift = 0;
  #bodyBytes = 0;

  constructor(maximumBytes: number) {
    this.#maximumBytes = maximumBytes;
  }

  /** False when a packet announces more than the maximum, or a length of more than four bytes. */
  accepts(chunk: Uint8Array): boolean {
    let at = 0;
    while (at < chunk.length) {
      if (this.#bodyBytes > 0) {
        const skipped = Math.min(this.#bodyBytes, chunk.length - at);
        this.#bodyBytes -= skipped;
        at += skipped;
      } else if (!this.#inHeader) {
        this.#inHeader = true;
        this.#length = 0;
        this.#shift = 0;
        at++;
      } else {
        const byte = chunk[at++]!;
        this.#length += (byte & 0x7f) * 2 ** this.#shift;
        this.#shift += 7;
        if (byte >= 0x80) {
          if (this.#shift >= 28) return false;
          continue;
        }
        if (this.#length > this.#maximumBytes) return false;
        this.#bodyBytes = this.#length;
        this.#inHeader = false;
      }
    }
    return true;
  }
}
