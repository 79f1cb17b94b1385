import { readdir, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';

export interface SpillingLevelOptions {
  readonly path: string;
  /** Whether what was written is on the disk, and not only with the operating system, when the promise resolves. */
  readonly sync: boolean;
  readonly minimumFreeBytes: number;
  readonly checkEveryMs: number;
  /** `error` is what the disk said; null where room is short. */
  readonly onSpill: (error: unknown, freeBytes: number) => void;
  readonly onReturn: (entries: number) => void;
  /** There seems to be room, and yet it cannot be opened anew. It is tried again. */
  readonly onStuck: (error: unknown) => void;
}

export type Operation =
  | { readonly type: 'put'; readonly key: string; readonly value: Buffer }
  | { readonly type: 'del'; readonly key: string };

interface Range {
  readonly gte?: string;
  readonly lt?: string;
}

interface Write {
  readonly operations: readonly Operation[];
  readonly resolve: () => void;
}

type Entry = readonly [key: string, value: Buffer];

/** A message that is delivered within it is deleted together with others. */
const REMOVED_AFTER_MS = 50;
/** Beyond, `isOverloaded`. */
const MEMORY_BYTES = 16 * 1024 * 1024;
const VALUES = { valueEncoding: 'buffer' } as const;

/**
 * A LevelDB that goes on in memory when the disk takes no more, and brings what it has there to the disk when there is room again.
 * One batch is written at a time, of everything that came meanwhile: the order is kept, and one sync serves many.
 * After a failed write nothing more is written to that journal, not even where there is room: LevelDB goes on behind the torn record, and what
 * follows it could not be read after a restart. The database is opened anew, then. Has what aedes-persistence-level calls, and no more.
 */
export class SpillingLevel {
  readonly #options: SpillingLevelOptions;
  #db: ClassicLevel<string, Buffer>;
  /** Null where it is deleted. Empty while everything is on disk. */
  readonly #memory = new Map<string, Buffer | null>();
  #memoryBytes = 0;
  #inMemory = false;
  /** A write has failed since the database was opened. */
  #isTorn = false;
  #pending: Write[] = [];
  /** Keys whose deletion waits for the next write. */
  #removals = new Set<string>();
  /** Of these, the ones that are being written. */
  #leaving: ReadonlySet<string> = new Set();
  #removalTimer: NodeJS.Timeout | null = null;
  #isClosed = false;
  /** The database is closed. */
  #isShut = false;
  #writing: Promise<void> | null = null;
  #readers = 0;
  /** While the database is opened anew. */
  #gate: { readonly opened: Promise<void>; readonly open: () => void } | null = null;
  #onDisk: (() => void)[] = [];
  #checking: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: SpillingLevelOptions) {
    this.#options = options;
    this.#db = new ClassicLevel(options.path, VALUES);
  }

  /** @throws what LevelDB throws, where it cannot be opened. */
  async open(): Promise<void> {
    await this.#db.open();
    this.#isClosed = false;
    this.#isShut = false;
    this.#timer = setInterval(() => this.#check(), this.#options.checkEveryMs);
    this.#timer.unref();
  }

  /** True while the disk takes nothing. */
  get inMemory(): boolean {
    return this.#inMemory;
  }

  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  /** Whether more is in memory than should be: what can wait is to wait. */
  get isOverloaded(): boolean {
    return this.#memoryBytes > MEMORY_BYTES;
  }

  /** Resolves when everything that was put before is on the disk. Never rejects. */
  onDisk(): Promise<void> {
    return this.#inMemory ? new Promise((resolve) => this.#onDisk.push(resolve)) : Promise.resolve();
  }

  put(key: string, value: Buffer): Promise<void> {
    return this.#write([{ type: 'put', key, value }]);
  }

  del(key: string): Promise<void> {
    return this.#write([{ type: 'del', key }]);
  }

  /** On disk with the next write, or soon after; gone at once for whoever reads. For keys that are not written again. */
  delSoon(key: string): void {
    if (this.#isClosed) return;
    this.#removals.add(key);
    this.#removalTimer ??= setTimeout(() => this.#remove(), REMOVED_AFTER_MS);
  }

  /** Those that come while something is written go with what is written after it, or wait once more. */
  #remove(): void {
    if (this.#removalTimer !== null) clearTimeout(this.#removalTimer);
    this.#removalTimer = this.#writing === null ? null : setTimeout(() => this.#remove(), REMOVED_AFTER_MS);
    this.#alone(() => this.#writePending());
  }

  #takeRemovals(): Operation[] {
    if (this.#removalTimer !== null) clearTimeout(this.#removalTimer);
    this.#removalTimer = null;
    this.#leaving = this.#removals;
    this.#removals = new Set();
    return [...this.#leaving].map((key): Operation => ({ type: 'del', key }));
  }

  #isLeaving(key: string): boolean {
    return this.#removals.has(key) || this.#leaving.has(key);
  }

  batch(): { del(key: string): void; write(): Promise<void> };
  batch(operations: readonly Operation[]): Promise<void>;
  batch(operations?: readonly Operation[]): Promise<void> | { del(key: string): void; write(): Promise<void> } {
    if (operations !== undefined) return this.#write(operations);
    const chained: Operation[] = [];
    return { del: (key: string) => void chained.push({ type: 'del', key }), write: () => this.#write(chained) };
  }

  async clear(range: Range): Promise<void> {
    const operations: Operation[] = [];
    for await (const key of this.keys(range)) operations.push({ type: 'del', key });
    await this.#write(operations);
  }

  async get(key: string): Promise<Buffer | undefined> {
    while (this.#gate !== null) await this.#gate.opened;
    if (this.#isShut || this.#isLeaving(key)) return undefined;
    const inMemory = this.#memory.get(key);
    if (inMemory !== undefined) return inMemory ?? undefined;
    this.#readers++;
    try {
      return await this.#db.get(key, VALUES);
    } finally {
      this.#readers--;
    }
  }

  async *keys(range: Range): AsyncGenerator<string> {
    for await (const [key] of this.#entries(range)) yield key;
  }

  async *values(range: Range): AsyncGenerator<Buffer> {
    for await (const [, value] of this.#entries(range)) yield value;
  }

  /** What comes later, of clients that are being cut off, is neither kept nor told: nobody acknowledges it. @returns entries that never came to the disk. */
  async close(): Promise<number> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    await this.#checking;
    this.#isClosed = true;
    while (this.#writing !== null || this.#removals.size > 0) {
      this.#remove();
      await this.#writing;
    }
    if (this.#inMemory) await this.#comeBack();
    this.#openGate();
    this.#isShut = true;
    if (this.#removalTimer !== null) clearTimeout(this.#removalTimer);
    await this.#db.close();
    return this.#memory.size;
  }

  #write(operations: readonly Operation[]): Promise<void> {
    if (operations.length === 0 || this.#isShut) return Promise.resolve();
    return new Promise((resolve) => {
      this.#pending.push({ operations, resolve });
      this.#alone(() => this.#writePending());
    });
  }

  /** Does nothing where a write is under way, which then looks for what is pending. */
  #alone(work: () => Promise<void>): void {
    this.#writing ??= work().finally(() => {
      this.#writing = null;
      if (this.#pending.length > 0) this.#alone(() => this.#writePending());
    });
  }

  async #writePending(): Promise<void> {
    // What is asked for in this turn goes together.
    await Promise.resolve();
    do {
      const writes = this.#pending;
      this.#pending = [];
      const operations = [...writes.flatMap((write) => write.operations), ...this.#takeRemovals()];
      if (this.#inMemory) await this.#toMemory(operations);
      else if (operations.length > 0) await this.#toDisk(operations).catch((error) => this.#spill(error, operations));
      this.#leaving = new Set();
      for (const { resolve } of writes) resolve();
    } while (this.#pending.length > 0);
  }

  /** What is deleted may come back after a power cut, as a message that comes twice: it needs no sync. */
  async #toDisk(operations: readonly Operation[]): Promise<void> {
    const sync = this.#options.sync && operations.some(({ type }) => type === 'put');
    await this.#db.batch(operations as Operation[], { ...VALUES, sync });
  }

  #spill(error: unknown, operations: readonly Operation[]): void {
    this.#isTorn = true;
    this.#keep(operations);
    this.#goToMemory(error, 0);
  }

  #goToMemory(error: unknown, freeBytes: number): void {
    if (this.#inMemory) return;
    this.#inMemory = true;
    this.#options.onSpill(error, freeBytes);
  }

  /** Deletions go to the disk as long as it takes anything: they are what makes room. */
  async #toMemory(operations: readonly Operation[]): Promise<void> {
    if (this.#isTorn) {
      this.#keep(operations);
      return;
    }
    const removals: Operation[] = [];
    for (const operation of operations) {
      if (operation.type === 'put') this.#keep([operation]);
      else {
        this.#forget(operation.key);
        removals.push(operation);
      }
    }
    if (removals.length > 0) await this.#toDisk(removals).catch((error) => this.#spill(error, removals));
  }

  #keep(operations: readonly Operation[]): void {
    for (const operation of operations) {
      this.#forget(operation.key);
      const value = operation.type === 'put' ? operation.value : null;
      this.#memory.set(operation.key, value);
      this.#memoryBytes += operation.key.length + (value?.length ?? 0);
    }
  }

  #forget(key: string): void {
    const before = this.#memory.get(key);
    if (before === undefined) return;
    this.#memory.delete(key);
    this.#memoryBytes -= key.length + (before?.length ?? 0);
  }

  /** In order of their keys' bytes, as LevelDB has them; memory overrules. */
  async *#entries(range: Range): AsyncGenerator<Entry> {
    if (this.#isShut) return;
    for await (const entry of this.#stored(range)) if (!this.#isLeaving(entry[0])) yield entry;
  }

  async *#stored(range: Range): AsyncGenerator<Entry> {
    while (this.#gate !== null) await this.#gate.opened;
    this.#readers++;
    try {
      const inMemory = this.#memoryIn(range);
      let next = 0;
      for await (const [key, value] of this.#db.iterator({ ...range, ...VALUES })) {
        let overruled = false;
        for (; next < inMemory.length; next++) {
          const [memoryKey, memoryValue] = inMemory[next]!;
          const order = byBytes(memoryKey, key);
          if (order > 0) break;
          if (order === 0) overruled = true;
          if (memoryValue !== null) yield [memoryKey, memoryValue];
        }
        if (!overruled) yield [key, value];
      }
      for (const [key, value] of inMemory.slice(next)) if (value !== null) yield [key, value];
    } finally {
      this.#readers--;
    }
  }

  #memoryIn({ gte = '', lt }: Range): readonly (readonly [string, Buffer | null])[] {
    return [...this.#memory]
      .filter(([key]) => byBytes(key, gte) >= 0 && (lt === undefined || byBytes(key, lt) < 0))
      .sort(([a], [b]) => byBytes(a, b));
  }

  #check(): void {
    this.#checking ??= this.#checkRoom()
      .catch(() => undefined)
      .finally(() => {
        this.#checking = null;
      });
  }

  async #checkRoom(): Promise<void> {
    const { path, minimumFreeBytes } = this.#options;
    const { bavail, bsize } = await statfs(path);
    const freeBytes = bavail * bsize;
    if (!this.#inMemory) {
      if (freeBytes < minimumFreeBytes) this.#goToMemory(null, freeBytes);
      return;
    }
    // What is in memory, and the journal, which is written into a table of its own when the database is opened.
    const neededBytes = 2 * this.#memoryBytes + (this.#isTorn ? await journalBytes(path) : 0);
    if (freeBytes >= Math.max(2 * minimumFreeBytes, neededBytes)) await this.#comeBack();
  }

  async #comeBack(): Promise<void> {
    if (this.#isTorn && !(await this.#openAnew())) return;
    while (this.#writing !== null) await this.#writing;
    this.#alone(() => this.#moveToDisk());
    await this.#writing;
  }

  async #moveToDisk(): Promise<void> {
    const entries = [...this.#memory];
    const operations = entries.map(
      ([key, value]): Operation => (value === null ? { type: 'del', key } : { type: 'put', key, value }),
    );
    try {
      if (operations.length > 0) await this.#db.batch(operations, { ...VALUES, sync: true });
    } catch {
      this.#isTorn = true;
      return;
    }
    this.#memory.clear();
    this.#memoryBytes = 0;
    this.#inMemory = false;
    for (const resolve of this.#onDisk.splice(0)) resolve();
    this.#options.onReturn(entries.length);
  }

  /** False where somebody reads, who may be waiting for a write in turn, or where it cannot be opened yet. */
  async #openAnew(): Promise<boolean> {
    if (this.#gate === null) {
      if (this.#readers > 0) return false;
      let open: () => void = () => undefined;
      const opened = new Promise<void>((resolve) => {
        open = resolve;
      });
      this.#gate = { opened, open };
    }
    try {
      await this.#db.close();
      this.#db = new ClassicLevel(this.#options.path, VALUES);
      await this.#db.open();
    } catch (error) {
      this.#options.onStuck(error);
      return false;
    }
    this.#isTorn = false;
    this.#openGate();
    return true;
  }

  #openGate(): void {
    this.#gate?.open();
    this.#gate = null;
  }
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

async function journalBytes(path: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(path)) if (name.endsWith('.log')) bytes += (await stat(join(path, name))).size;
  return bytes;
}
