import { Argument, type Command } from 'commander';
import { withExamples } from './options.js';

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
}
