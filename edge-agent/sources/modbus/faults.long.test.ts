import { expect, it } from 'vitest';
import { faultedReads } from './testing/faulted-reads.js';
import type { Line } from './testing/faulty-line.js';
import { hasSocat } from './testing/serial-port-to.js';

const lines: [Line, number][] = [
  ['tcp', 50_000],
  ['rtu+tcp', 35_000],
  ['ascii+tcp', 15_000],
];
// Slow, as a port has to be opened anew for each run: `npm run test:acquisition -- --long` only.
if (process.env.TWINWATCH_ACQUISITION === '1' && hasSocat()) lines.push(['rtu', 5_000]);
else if (!hasSocat())
  console.warn('socat is not installed: no faults on serial ports of the kernel (apt-get install socat)');

/** A hundred thousand answers with faults, others each time: a failure names the seed that repeats it. */
it.each(lines)(
  'calls no wrong value good over a faulty %s line',
  async (protocol, injections) => {
    const { reads, good, injected, stalled } = await faultedReads(
      protocol,
      injections,
      protocol === 'rtu' ? 8 : 40,
      Date.now() % 1_000_000,
    );
    const tampered = [...injected].reduce((sum, [kind, count]) => (kind === 'none' ? sum : sum + count), 0);
    console.log(
      `${protocol}: ${tampered} answers with faults, ${reads} reads, ${good} good, none of them wrong; ${stalled} runs left out for stalls of this machine`,
    );
    expect(tampered).toBeGreaterThanOrEqual(injections);
    expect(good).toBeGreaterThan(injections / 10);
  },
  1_200_000,
);
