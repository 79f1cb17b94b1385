import { Argument, type Command, Option } from 'commander';
import { type Ranges, ranges, whole, withExamples } from './options.js';

/** Commands that write a first configuration of devices. */
export function addDevices(program: Command): void {
  const importing = program
    .command('import-config')
    .description('make an agent file and device templates from the configuration of another program')
    .addArgument(new Argument('<format>', 'what the file is').choices(['telegraf', 'thingsboard', 'neuron']))
    .argument('<file>', "Telegraf's TOML, ThingsBoard Gateway's modbus.json, or Neuron's table of tags as CSV")
    .option('--out <dir>', 'where the files go; nothing that is there is written over', 'imported')
    .option('--url <url>', 'of the bus, which a table of tags does not have', 'tcp://192.0.2.1:502')
    .action(
      async (format: 'telegraf' | 'thingsboard' | 'neuron', file: string, { out, url }: Record<string, string>) => {
        const { importConfig } = await import('../devices/import-config.js');
        await importConfig(format, file, out!, url!);
      },
    );
  withExamples(
    importing,
    'import-config telegraf /etc/telegraf/telegraf.conf --out site',
    'import-config thingsboard modbus.json',
    'import-config neuron tags.csv --url tcp://10.0.0.17:502',
  );
  const discovering = program
    .command('discover')
    .description('scan a Modbus bus without writing to it, and make a first agent file and a template for each unit')
    .argument('<url>', "of the bus: tcp://host:502, or 'rtu:///dev/serial/by-id/…?baudRate=9600'")
    .addOption(
      new Option('--units <list>', 'unit ids to try')
        .argParser((text) => ranges(text, 255))
        .default(ranges('1-32,247,255', 255), '1-32,247,255'),
    )
    .addOption(
      new Option('--addresses <list>', 'zero-based addresses to try in every table')
        .argParser((text) => ranges(text, 65_535))
        .default(ranges('0-199', 65_535), '0-199'),
    )
    .option('--timeout <ms>', 'longest wait for an answer', whole, 300)
    .option('--out <dir>', 'where the files go; nothing that is there is written over', 'discovered')
    .action(async (url: string, options: { units: Ranges; addresses: Ranges; timeout: number; out: string }) => {
      const { discover } = await import('../devices/discover.js');
      const units = options.units.flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, i) => from + i));
      await discover({ url, units, addresses: options.addresses, timeoutMs: options.timeout, out: options.out });
    });
  withExamples(
    discovering,
    'discover tcp://10.0.0.17:502 --units 1-10',
    "discover 'rtu:///dev/ttyUSB0?baudRate=19200&parity=even' --units 1-247 --timeout 100",
    'discover tcp://10.0.0.17:502 --units 1 --addresses 0-99,4096-4200 --out pump-house',
  );
}
