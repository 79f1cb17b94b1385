import { createHash, createHmac, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { SCRYPT_HASH } from './scrypt-hash.js';

/** RFC 7914. 32 MiB and some 0.1 s of a core for one guess; passwords of devices are to be random, then this is plenty. */
const [LOG2_N, R, P] = [15, 8, 1];
const [SALT_BYTES, HASH_BYTES] = [16, 32];
/** Of one check at a time; each takes a thread of the pool that the session store writes with, too. */
const MAXIMUM_CHECKS_AT_ONCE = 2;

interface ScryptHash {
  readonly log2N: number;
  readonly r: number;
  readonly p: number;
  readonly salt: Buffer;
  readonly hash: Buffer;
}

/** `$scrypt$ln=15,r=8,p=1$salt$hash`, both in base64 without padding, as PHC strings are. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await derive(password, { log2N: LOG2_N, r: R, p: P, salt, hash: Buffer.alloc(HASH_BYTES) });
  return `$scrypt$ln=${LOG2_N},r=${R},p=${P}$${base64(salt)}$${base64(hash)}`;
}

export function isHashed(stored: string): boolean {
  return SCRYPT_HASH.test(stored);
}

/**
 * Compares passwords with what is stored for them, off the event loop and in constant time, two at a time. A password that was right is
 * remembered under a key that only this process has, so that a client that comes back costs next to nothing.
 */
export class PasswordChecks {
  readonly #key = randomBytes(32);
  /** What is stored → the keyed hash of the password that matched it. */
  readonly #matched = new Map<string, Buffer>();
  readonly #waiting: (() => void)[] = [];
  /** So that an unknown name takes as long as a known one. */
  readonly #nobody: string | null;
  #running = 0;

  /** @param stored everything that passwords may be compared with. */
  constructor(stored: readonly string[]) {
    this.#nobody = stored.find(isHashed) ?? null;
  }

  /**
   * @param stored a scrypt hash, a password in clear, or undefined where there is no such user.
   * @param wanted asked when its turn has come; where the answer is no longer wanted nothing is computed, and it is null.
   */
  async matches(stored: string | undefined, password: Buffer, wanted: () => boolean): Promise<boolean | null> {
    const compared = stored ?? this.#nobody ?? '';
    const match = SCRYPT_HASH.exec(compared);
    const digest = this.#digest(password);
    if (match === null) return timingSafeEqual(digest, this.#digest(compared)) && stored !== undefined;
    const known = this.#matched.get(compared);
    if (stored !== undefined && known !== undefined && timingSafeEqual(known, digest)) return true;
    const parsed = parse(match);
    await this.#turn();
    try {
      if (!wanted()) return null;
      const same = timingSafeEqual(await derive(password, parsed), parsed.hash);
      if (same && stored !== undefined) this.#matched.set(stored, digest);
      return same && stored !== undefined;
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }

  async #turn(): Promise<void> {
    while (this.#running >= MAXIMUM_CHECKS_AT_ONCE) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#running++;
  }

  #digest(password: string | Buffer): Buffer {
    return createHmac('sha256', this.#key).update(createHash('sha256').update(password).digest()).digest();
  }
}

function parse([, log2N, r, p, salt, hash]: RegExpExecArray): ScryptHash {
  return {
    log2N: Number(log2N),
    r: Number(r),
    p: Number(p),
    salt: Buffer.from(salt ?? '', 'base64'),
    hash: Buffer.from(hash ?? '', 'base64'),
  };
}

function derive(password: string | Buffer, { log2N, r, p, salt, hash }: ScryptHash): Promise<Buffer> {
  const N = 2 ** log2N;
  return new Promise((resolve, reject) => {
    scrypt(password, salt, hash.length, { N, r, p, maxmem: 256 * N * r + 1024 * r * p }, (error, key) =>
      error === null ? resolve(key) : reject(error),
    );
  });
}

function base64(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}
