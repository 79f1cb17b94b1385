import { agentSchema, isBroadcast } from '@twinwatch/core/config/agent';
import type { RegisterTable } from '@twinwatch/core/config/template-tag';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { ModbusBus } from '@twinwatch/edge-agent/sources/modbus/bus';
import { openBus } from '@twinwatch/edge-agent/sources/modbus/open-bus';
import { systemClock, systemTimers } from '../processes/node-runtime.js';
import { writeDraft } from './import-config.js';
import { type RegisterRun, typedRun } from './register-types.js';
import type { DraftDevice, DraftTag, SiteDraft } from './site-draft.js';

export interface DiscoverOptions {
  readonly url: string;
  readonly units: readonly number[];
  readonly addresses: readonly { readonly from: number; readonly to: number }[];
  readonly timeoutMs: number;
  readonly out: string;
}

const TABLES: readonly RegisterTable[] = ['holding', 'input', 'coil', 'discrete'];
const BLOCK = { register: 32, bit: 128 };
/** A gateway says so of a unit that is not behind it. */
const GATEWAY = new Set([10, 11]);
const ILLEGAL_FUNCTION = 1;
const PASSES = 3;
const BETWEEN_PASSES_MS = 700;
const MOST_BITS = 64;

/**
 * Scans a bus and writes a first agent file with a template for each unit that answered. Only reads (functions 1 to 4) are ever sent.
 * @throws TwinwatchError MODBUS_UNREACHABLE, CONFIG_INVALID for a URL that is none, CLI_FILE_EXISTS.
 */
export async function discover(options: DiscoverOptions): Promise<void> {
  const say = (line: string) => void process.stderr.write(`${line}\n`);
  const draft = await scan(options, say);
  await writeDraft(draft, options.out, `Found on ${options.url}: types and orders are guesses, compare what was seen`);
}

async function scan(options: DiscoverOptions, say: (line: string) => void): Promise<SiteDraft> {
  const { url, timeoutMs } = options;
  const config = busConfig(url, timeoutMs);
  const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const bus = openBus(config, { clock: systemClock, timers: systemTimers, random: Math.random, log: quiet });
  const notes: string[] = [];
  const devices: DraftDevice[] = [];
  try {
    for (const unit of options.units) {
      if (isBroadcast(url, unit)) {
        notes.push('unit 0 is broadcast on a serial line, which nobody answers; it was not asked');
        continue;
      }
      if (!(await answers(bus, unit))) continue;
      say(`unit ${unit} answers`);
      const tags: DraftTag[] = [];
      for (const table of TABLES) tags.push(...(await tagsOf(bus, unit, table, options, notes, say)));
      if (tags.length > 0) devices.push({ name: `unit-${unit}`, unit, tags });
      else notes.push(`unit ${unit} answers, but holds nothing but 0 where it was read`);
    }
  } finally {
    await bus.close();
  }
  if (devices.length === 0)
    notes.push(
      `none of ${options.units.length} units answered; check address, speed and parity, or try others with --units`,
    );
  return { buses: [{ url, timeoutMs, devices: devices.length > 1 ? devices.map(ownNames) : devices }], notes };
}

/** Units on one bus mostly hold the same addresses; every tag says whose it is, not only those whose name was taken. */
function ownNames(device: DraftDevice): DraftDevice {
  return { ...device, tags: device.tags.map((tag) => ({ ...tag, name: `${device.name}_${tag.name}` })) };
}

function busConfig(url: string, timeoutMs: number) {
  const parsed = agentSchema.shape.buses
    .unwrap()
    .element.safeParse({ url, timeoutMs, devices: [{ name: 'x', template: 'x' }] });
  if (parsed.success) return parsed.data;
  throw new TwinwatchError('CONFIG_INVALID', `${url}: ${parsed.error.issues.map(({ message }) => message).join('; ')}`);
}

/** Whatever it says, silence and a gateway's regret apart, somebody is there. @throws TwinwatchError MODBUS_UNREACHABLE. */
async function answers(bus: ModbusBus, unit: number): Promise<boolean> {
  const outcome = await read(bus, unit, 'holding', 0, 1);
  return outcome !== 'silence' && (typeof outcome !== 'number' || !GATEWAY.has(outcome));
}

/** Words, the exception, or silence. One that is out of step on a serial line, or a line that broke, is asked again. */
async function read(
  bus: ModbusBus,
  unit: number,
  table: RegisterTable,
  address: number,
  count: number,
): Promise<Uint16Array | number | 'silence'> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await bus.read(unit, { table, address, count });
    } catch (error) {
      if (!(error instanceof TwinwatchError) || error.code === 'MODBUS_UNREACHABLE') throw error;
      if (typeof error.context.exception === 'number') return error.context.exception;
      if (error.code === 'MODBUS_TIMEOUT' || attempt >= 20) return 'silence';
      await systemTimers.sleep('discover-again', 100);
    }
  }
}

async function tagsOf(
  bus: ModbusBus,
  unit: number,
  table: RegisterTable,
  { addresses }: DiscoverOptions,
  notes: string[],
  say: (line: string) => void,
): Promise<DraftTag[]> {
  const isBits = table === 'coil' || table === 'discrete';
  const spans: { address: number; count: number }[] = [];
  for (const { from, to } of addresses) {
    const found = await readable(bus, unit, table, from, to, isBits ? BLOCK.bit : BLOCK.register);
    if (found === null) return [];
    spans.push(...found);
  }
  if (spans.length === 0) return [];
  const total = spans.reduce((sum, { count }) => sum + count, 0);
  say(`  ${table}: ${total} can be read`);
  if (isBits) return bitTags(await runs(bus, unit, table, spans), table, unit, notes);
  let zeros = 0;
  const tags = (await runs(bus, unit, table, spans)).flatMap((run) => {
    const typed = typedRun(run, table);
    zeros += typed.alwaysZero;
    return typed.tags;
  });
  if (zeros > 0) notes.push(`unit ${unit}: ${zeros} ${table} registers held 0 all the time and are left out`);
  return tags;
}

/** Spans that the device reads, found by halving what it refuses. Null where it does not know the table. */
async function readable(
  bus: ModbusBus,
  unit: number,
  table: RegisterTable,
  from: number,
  to: number,
  block: number,
): Promise<{ address: number; count: number }[] | null> {
  const spans: { address: number; count: number }[] = [];
  const queue: [number, number][] = [];
  for (let at = from; at <= to; at += block) queue.push([at, Math.min(block, to - at + 1)]);
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const [address, count] = next;
    const outcome = await read(bus, unit, table, address, count);
    if (outcome === ILLEGAL_FUNCTION) return null;
    if (outcome instanceof Uint16Array) {
      const last = spans.at(-1);
      if (last !== undefined && last.address + last.count === address) last.count += count;
      else spans.push({ address, count });
    } else if (outcome !== 'silence' && count > 1) {
      const half = count >> 1;
      queue.unshift([address, half], [address + half, count - half]);
    }
  }
  return spans;
}

/** What the spans hold, several times with a pause between, so that what moves is seen moving. */
async function runs(
  bus: ModbusBus,
  unit: number,
  table: RegisterTable,
  spans: readonly { address: number; count: number }[],
): Promise<RegisterRun[]> {
  const passes = spans.map((): Uint16Array[] => []);
  for (let pass = 0; pass < PASSES; pass++) {
    if (pass > 0) await systemTimers.sleep('discover-pass', BETWEEN_PASSES_MS);
    for (const [i, { address, count }] of spans.entries()) {
      const words = new Uint16Array(count);
      let isWhole = true;
      for (let at = 0; at < count; at += BLOCK.register) {
        const part = await read(bus, unit, table, address + at, Math.min(BLOCK.register, count - at));
        if (part instanceof Uint16Array) words.set(part, at);
        else isWhole = false;
      }
      if (isWhole) passes[i]!.push(words);
    }
  }
  return spans.map(({ address }, i) => ({ address, passes: passes[i]! }));
}

/** Each with what it was seen to be: one that is 0 says as much as one that is 1. */
function bitTags(found: readonly RegisterRun[], table: RegisterTable, unit: number, notes: string[]): DraftTag[] {
  const bits = found.flatMap(({ address, passes }) =>
    Array.from(passes[0] ?? [], (_, i) => ({
      address: address + i,
      comment: `seen ${[...new Set(passes.map((pass) => pass[i]))].join(', ')}`,
    })),
  );
  if (bits.length > MOST_BITS)
    notes.push(`unit ${unit}: ${bits.length} ${table}s can be read; the first ${MOST_BITS} are taken`);
  return bits.slice(0, MOST_BITS).map(({ address, comment }) => ({
    ...{ name: `${table}_${address}`, register: table, address, type: 'BIT' as const, comment },
  }));
}
