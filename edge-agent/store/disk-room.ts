import { randomFillSync } from 'node:crypto';
import { rmSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const LARGEST_BALLAST_BYTES = 4 * 1024 * 1024;
/** Of the whole file system, at most. */
const BALLAST_SHARE = 1 / 16;

/**
 * A file that takes up room for the moment when there is none: deleting old rows needs some as well. It is given up on a full disk and made
 * again once there is room for it twice over.
 */
export class DiskRoom {
  readonly #path: string;
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    this.#path = join(directory, 'ballast');
  }

  /** Whether less is free, the ballast aside, than the ballast twice over. */
  get isTight(): boolean {
    const { freeBytes, ballastBytes, heldBytes } = this.#measure();
    return freeBytes + heldBytes < 3 * ballastBytes;
  }

  get freeBytes(): number {
    return this.#measure().freeBytes;
  }

  /** A journal may grow to this: what it holds can still be written to its file once the ballast is gone. */
  get journalBytes(): number {
    return this.#measure().ballastBytes / 2;
  }

  release(): void {
    rmSync(this.#path, { force: true });
  }

  /** Does nothing where it is there, or where room is short. */
  restore(): void {
    const { ballastBytes, heldBytes } = this.#measure();
    if (heldBytes === ballastBytes || this.isTight) return;
    try {
      // Random, so that no file system stores it smaller than it is.
      writeFileSync(this.#path, randomFillSync(Buffer.alloc(ballastBytes)));
    } catch {
      this.release();
    }
  }

  #measure(): { freeBytes: number; ballastBytes: number; heldBytes: number } {
    const { bavail, blocks, bsize } = statfsSync(this.#directory);
    const ballastBytes = Math.min(LARGEST_BALLAST_BYTES, Math.floor(blocks * BALLAST_SHARE) * bsize);
    const heldBytes = statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0;
    return { freeBytes: bavail * bsize, ballastBytes, heldBytes };
  }
}
