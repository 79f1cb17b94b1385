import { availableParallelism } from 'node:os';
import type { RecordingColumns } from '@twinwatch/twin-server/twin/recording';
import { Argument, type Command, Option } from 'commander';
import { collect, positive, whole, withExamples } from './options.js';

/** Commands about the twin itself: its demands, its attacks, how near it is to reality, and how fast. */
export function addTwin(program: Command): void {
  addFidelity(program);
  addPlantFromNetwork(program);
  addFitDemands(program);
  addAdvise(program);
  addImportAttacks(program);
}

const REFERENCE_PLANT = 'configs/reference-plant/plant.yaml';

interface ColumnOptions {
  readonly timeColumn?: string;
  readonly dateOrder: RecordingColumns['dateOrder'];
  readonly labelColumn?: string;
  readonly column: readonly string[];
  readonly delimiter: string;
}

/** How a history file is to be read. */
const withColumns = (command: Command) =>
  command
    .option('--time-column <name>', 'column of times; DATETIME, timestamp, time or date without it')
    .addOption(
      new Option('--date-order <order>', 'of day, month and year')
        .choices(['auto', 'dmy', 'mdy', 'ymd'])
        .default('auto'),
    )
    .option('--label-column <name>', 'column of labels: rows with 1 are left out; ATT_FLAG without it')
    .option('--column <tag=column>', 'a tag whose column has another name; may be repeated', collect, [])
    .option('--delimiter <character>', 'between two columns', ',');

function columnsOf({ timeColumn, dateOrder, labelColumn, column, delimiter }: ColumnOptions): RecordingColumns {
  const columns = Object.fromEntries(column.map((text) => [text.split('=', 1)[0]!, text.slice(text.indexOf('=') + 1)]));
  return { timeColumn, dateOrder, labelColumn, columns, delimiter };
}

function addFidelity(program: Command): void {
  const fidelity = withColumns(
    program
      .command('fidelity')
      .description('how near the twin is to a recorded history, before and after its demands are fitted')
      .option('--history <csv>', 'rows of the real plant; another instance of the plant stands for it without one')
      .option('--network <inp>', "EPANET network instead of the plant file's")
      .option('--plant <file>', 'plant.yaml', REFERENCE_PLANT)
      .option('--out <dir>', 'fidelity.html and fidelity.json go here', 'out/fidelity')
      .option('--days <n>', 'that the twin simulates', whole, 182)
      .option('--seed <n>', 'of everything random', whole, 1)
      .option('--threads <n>', 'that simulate', whole, availableParallelism()),
  ).action(async (options) => {
    const { runFidelity } = await import('../fidelity/fidelity.js');
    const command =
      `npm run fidelity -- ${process.argv.slice(process.argv.indexOf('fidelity') + 1).join(' ')}`.trimEnd();
    await runFidelity({ ...options, columns: columnsOf(options), command });
  });
  withExamples(
    fidelity,
    'fidelity',
    'fidelity --history BATADAL_dataset03.csv --network ctown.inp --plant configs/ctown/plant.yaml',
  );
}

function addPlantFromNetwork(program: Command): void {
  const drafting = program
    .command('plant-from-network')
    .description(
      'draft plant.yaml and attacks.yaml of your own network: tags, PLCs, control rules and attacks from an EPANET file',
    )
    .argument('<network>', 'EPANET input file (.inp)')
    .option('--out <file>', 'where plant.yaml goes; attacks.yaml goes beside it', 'plant.yaml')
    .option('--force', 'overwrite what is there')
    .action(async (network: string, options) => {
      const { writePlantFromNetwork } = await import('../twin/plant-from-network.js');
      await writePlantFromNetwork(network, options);
    });
  withExamples(
    drafting,
    'plant-from-network our-town.inp',
    'plant-from-network our-town.inp --out configs/our-town/plant.yaml --force',
  );
}

function addFitDemands(program: Command): void {
  const fitting = withColumns(
    program
      .command('fit-demands')
      .description("fit the demands of a plant's districts to a recorded history, as a file for plant.yaml")
      .requiredOption('--history <csv>', 'rows of the real plant')
      .option('--network <inp>', "EPANET network instead of the plant file's")
      .option('--plant <file>', 'plant.yaml', REFERENCE_PLANT)
      .option('--out <file>', 'where the demands go', 'demands.yaml'),
  ).action(async (options) => {
    const { fitDemandsToFile } = await import('../twin/fit-demands.js');
    await fitDemandsToFile({ ...options, columns: columnsOf(options) });
  });
  withExamples(fitting, 'fit-demands --history history.csv --plant plant.yaml --out demands.yaml');
}

function addAdvise(program: Command): void {
  const advising = withColumns(
    program
      .command('advise')
      .description(
        "how far the twin is from a site's rows, and which learning method that speaks for, or against the twin",
      )
      .requiredOption('--history <csv>', 'rows of the real plant; labels of attacks in it say that sites have such')
      .option('--config <file>', "server.yaml: its twin's plant and its detector's features, in place of --plant")
      .option('--network <inp>', "EPANET network instead of the plant file's")
      .option('--plant <file>', 'plant.yaml', REFERENCE_PLANT)
      .option('--json', 'figures and advice as JSON', false),
  ).action(async (options) => {
    const { runAdvise } = await import('../twin/advise.js');
    await runAdvise({ ...options, columns: columnsOf(options) });
  });
  withExamples(
    advising,
    'advise --history site.csv --plant plant.yaml',
    'advise --history site.csv --config server.yaml --json',
  );
}

function addImportAttacks(program: Command): void {
  const importing = program
    .command('import-attacks')
    .description('add attacks from epanetCPA files (.cpa) to an attack catalogue')
    .argument('<files...>', 'epanetCPA files, each one attack')
    .option('--plant <file>', 'plant.yaml of the plant that is attacked', 'configs/ctown/plant.yaml')
    .option('--network <inp>', "EPANET network instead of the plant file's; attacks on controls count its [CONTROLS]")
    .option('--out <file>', 'catalogue that the attacks are added to', 'attacks.yaml')
    .option('--hours <n>', 'length of an attack that never ends', positive, 48)
    .action(async (files: string[], options) => {
      const { importAttacks } = await import('../twin/import-attacks.js');
      await importAttacks(files, options);
    });
  withExamples(importing, 'import-attacks scenario01.cpa scenario03.cpa --network ctown.inp --out attacks.yaml');
}

/** What is measured of the product itself. */
export function addBench(program: Command): void {
  const bench = program
    .command('bench')
    .description('measure how fast something is on this machine')
    .addArgument(
      new Argument(
        '<what>',
        'twin: simulated hours per second and core, against the bare EPANET engine at the same step; acquisition: tags per second over Modbus, against a bare modbus-serial loop; experiments: a round of each method, part by part; broker: messages per second and latency, beside mosquitto; alarms: how long an alarm takes to the server over 64 kbit/s that are busy both ways; codec: what encoding an update takes, in time and bytes; rounds: what a round of 20 agents takes where nobody trains',
      ).choices(['twin', 'acquisition', 'experiments', 'broker', 'alarms', 'codec', 'rounds']),
    )
    .option('--plant <file>', 'plant.yaml', REFERENCE_PLANT)
    .option('--network <inp>', "EPANET network instead of the plant file's")
    .option('--hours <n>', 'simulated in each run', whole, 2_000)
    .option('--seconds <n>', 'of one measurement of acquisition or broker', whole, 5)
    .option('--repetitions <n>', 'of both, in turn; the median counts', whole, 5)
    .action(async (what: string, options) => {
      switch (what) {
        case 'twin': {
          const { benchTwin } = await import('../bench/twin.js');
          process.exitCode = await benchTwin(options);
          break;
        }
        case 'codec': {
          const { benchCodec } = await import('../bench/codec.js');
          benchCodec();
          break;
        }
        case 'experiments': {
          const { benchExperiments } = await import('../bench/experiments.js');
          await benchExperiments();
          break;
        }
        case 'broker': {
          const { benchBroker } = await import('../bench/broker/broker.js');
          await benchBroker(options);
          break;
        }
        case 'rounds': {
          const { benchRounds } = await import('../bench/rounds/rounds.js');
          process.exitCode = await benchRounds();
          break;
        }
        case 'alarms': {
          const { benchAlarms } = await import('../bench/alarms.js');
          process.exitCode = await benchAlarms();
          break;
        }
        default: {
          const { benchAcquisition } = await import('../bench/acquisition/acquisition.js');
          process.exitCode = await benchAcquisition(options);
        }
      }
    });
  withExamples(
    bench,
    'bench twin',
    'bench acquisition',
    'bench broker --seconds 3 --repetitions 3',
    'bench twin --plant configs/ctown/plant.yaml --network ctown.inp',
  );
}
