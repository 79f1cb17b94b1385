import { readFileSync } from 'node:fs';
import { TwinwatchError } from '@twinwatch/core/errors';
import { Command, Option } from 'commander';
import { addBrokerCheck } from './broker-commands.js';
import { endWithParent } from './child-of.js';
import { addDevices } from './device-commands.js';
import { addExperiments } from './experiments.js';
import { addHashPassword } from './hash-password.js';
import { addOperator } from './operator-commands.js';
import { collect, firstPort, positive, whole, withExamples } from './options.js';
import { addSecurity } from './security-commands.js';
import { addBench, addTwin } from './twin-commands.js';

/**
 * The twinwatch command: a thin door. Every command loads its own part only when it is asked for, so that an agent on a
 * small machine never loads the server.
 */
export function createProgram(): Command {
  const program = new Command('twinwatch')
    .description(
      'Live anomaly detection on industrial devices, learned together over MQTT and taught by a digital twin',
    )
    .version(version())
    .option('--verbose', 'stack traces with errors')
    .showHelpAfterError('(--help shows examples)')
    .configureHelp({ showGlobalOptions: true })
    .exitOverride();
  program.commandsGroup('Run a federation:');
  addServices(program);
  addAgent(program);
  program.commandsGroup('Connect devices and brokers:');
  addDevices(program);
  addBrokerCheck(program);
  program.commandsGroup('Operate:');
  addOperator(program);
  program.commandsGroup('Keys, passwords and who belongs:');
  addSecurity(program);
  addHashPassword(program);
  program.commandsGroup('The twin of your plant:');
  addTwin(program);
  program.commandsGroup('Try it out:');
  addDemo(program);
  addPlant(program);
  addFetchData(program);
  addFieldTrial(program);
  program.commandsGroup('Measure:');
  addCatalogue(program);
  addExperiments(program);
  addBench(program);
  program.commandsGroup('Help:').helpCommand(true);
  return withExamples(
    program,
    'demo                                       # the whole story on this machine, with a page to watch',
    'agent --config agent.yaml --check          # tries a configuration against the real devices',
    'alarms                                     # what is active or waits for a decision',
    'help agent                                 # options and examples of one command',
  );
}

function version(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

const configOption = () => new Option('-c, --config <file>', 'YAML configuration file').makeOptionMandatory();

function addServices(program: Command): void {
  const broker = program
    .command('broker')
    .description('run the embedded MQTT broker; any MQTT 3.1.1 broker can stand in its place')
    .addOption(configOption())
    .action(async ({ config }: { config: string }) => {
      endWithParent();
      const { main } = await import('@twinwatch/broker/main');
      await main(config);
    });
  withExamples(broker, 'broker --config configs/examples/broker.yaml');
  const server = program
    .command('server')
    .description('run the twin-server: twin, federated rounds, model registry, page and API')
    .addOption(configOption())
    .action(async ({ config }: { config: string }) => {
      endWithParent();
      const { main } = await import('@twinwatch/twin-server/main');
      await main(config);
    });
  withExamples(server, 'server --config configs/examples/server.yaml');
}

function addAgent(program: Command): void {
  const agent = program
    .command('agent')
    .description('run an edge agent: poll devices, learn, watch, raise alarms')
    .option('-c, --config <file>', 'YAML configuration file')
    .option('--check', 'check the file, try every connection, read every tag once, print a table, and end')
    .action(async ({ config, check }: { config?: string; check?: boolean }) => {
      if (config === undefined)
        throw new TwinwatchError('CLI_USAGE', 'an agent needs --config FILE, such as configs/examples/agent.yaml');
      endWithParent();
      const edge = await import('@twinwatch/edge-agent/main');
      await (check === true ? edge.check(config) : edge.main(config));
    });
  const importing = agent
    .command('import')
    .description('import history from CSV files, as from a historian; the agent must not be running')
    .argument('<files...>', 'CSV files, one column per tag and one of times')
    .action(async (files: string[], _options: object, command: Command) => {
      const { config } = command.optsWithGlobals<{ config?: string }>();
      if (config === undefined)
        throw new TwinwatchError('CLI_USAGE', 'agent import needs --config FILE, the file that the agent runs with');
      endWithParent();
      const edge = await import('@twinwatch/edge-agent/main');
      await edge.importCsv(config, ...files);
    });
  withExamples(importing, 'agent import --config agent.yaml history-2024.csv history-2025.csv');
  withExamples(
    agent,
    'agent --config configs/examples/agent.yaml',
    'agent --config configs/examples/agent.yaml --check',
    'agent import --config agent.yaml history.csv',
  );
}

function addPlant(program: Command): void {
  const plant = program
    .command('plant')
    .description('run a simulated plant, or a recorded feed, behind real Modbus TCP servers')
    .addOption(configOption())
    .action(async ({ config }: { config: string }) => {
      endWithParent();
      const { main } = await import('../plant/main.js');
      await main(config);
    });
  withExamples(
    plant,
    'plant --config configs/examples/plant.yaml',
    'plant --config plant.yaml     # with control: { port: 9100 } in it, then:',
  ).addHelpText(
    'after',
    '  $ curl -d \'{"site":"site-1","name":"pumps-off"}\' http://127.0.0.1:9100/attack\n  $ mbpoll -m tcp -a 99 -p 5021 -t 4:float -B -r 1 -c 2 127.0.0.1   # looks; unit 1 would advance the plant\n',
  );
}

function addDemo(program: Command): void {
  const demo = program
    .command('demo')
    .description('the whole story on this machine: broker, server, plants and agents as processes of their own')
    .option('--attack <name>', "attack of the reference plant's catalogue, or none")
    .option('--sites <n>', 'sites, each with an agent of its own', whole, 5)
    .option('--speed <n>', 'rows (quarter hours) per second once the detector is on watch', positive, 4)
    .option('--rounds <n>', 'federated rounds', whole, 10)
    .addOption(
      new Option('--method <name>', 'how updates are combined').choices(['cwa', 'fedavg', 'fedprox']).default('cwa'),
    )
    .option('--ports <base>', 'use exactly the ports from here on; otherwise free ones are looked for', firstPort)
    .option('--data-dir <dir>', 'where everything is kept; a second start goes on from there', 'data/demo')
    .option('--keep', 'go on running after the story, until Ctrl-C')
    .option(
      '--exit-after-demo',
      'end after the story: 0 if the attack was alarmed at its site and nowhere else, else 1',
    )
    .action(async (options) => {
      const { runDemo } = await import('../demo/demo.js');
      process.exitCode = await runDemo(options);
    });
  withExamples(demo, 'demo', 'demo --attack none --exit-after-demo', 'demo --sites 3 --speed 20 --keep');
}

function addCatalogue(program: Command): void {
  const catalogue = program
    .command('catalogue')
    .description('every attack of a catalogue with several seeds, in one process and without the wall clock')
    .option('--plant <file>', 'plant.yaml', 'configs/reference-plant/plant.yaml')
    .option('--seeds <n>', 'plants per attack', whole, 5)
    .option('--agents <n>', 'agents in the federation that trains the detector', whole, 5)
    .option('--rounds <n>', 'federated rounds', whole, 10)
    .option('--out <file>', 'results as JSON')
    .action(async (options) => {
      const { runCatalogue } = await import('../catalogue/catalogue.js');
      await runCatalogue(options);
    });
  withExamples(catalogue, 'catalogue', 'catalogue --seeds 2 --out out/catalogue.json');
}

function addFieldTrial(program: Command): void {
  const trial = program
    .command('field-trial')
    .description('learn from a recorded history and a twin, then watch a recorded feed, and report')
    .requiredOption('--history <csv>', 'rows without attacks, split among the agents')
    .requiredOption('--feed <csv>', 'rows that the detector watches, served over Modbus TCP')
    .requiredOption('--network <inp>', 'EPANET network of the twin')
    .option('--plant <file>', 'tags, PLCs and rules of the plant', 'configs/ctown/plant.yaml')
    .option('--out <dir>', 'report.html and report.json go here', 'out/field-trial')
    .option('--agents <k>', 'agents that learn, each from a slice of the history', whole, 5)
    .option('--rounds <n>', 'federated rounds', whole, 20)
    .option('--seed <n>', 'of everything random', whole, 1)
    .option('--episodes <n>', 'fortnights that the twin simulates; some 100,000 rows without it', whole)
    .option('--realtime-factor <n>', 'plant seconds per second; as fast as polled without it', positive)
    .option('--online', 'let the duty agent go on training on the feed, behind its quarantine')
    .option('--time-column <name>', 'column of times; DATETIME, timestamp, time or date without it')
    .addOption(
      new Option('--date-order <order>', 'of day, month and year')
        .choices(['auto', 'dmy', 'mdy', 'ymd'])
        .default('auto'),
    )
    .option(
      '--label-column <name>',
      'column of labels: 0 normal, 1 attack, anything else not known; ATT_FLAG without it',
    )
    .option('--column <tag=column>', 'a tag whose column has another name; may be repeated', collect, [])
    .option('--delimiter <character>', 'between two columns', ',')
    .action(async (options) => {
      const { runFieldTrial } = await import('../field-trial/field-trial.js');
      process.exitCode = await runFieldTrial(options);
    });
  withExamples(
    trial,
    'field-trial --history BATADAL_dataset03.csv --feed BATADAL_dataset04.csv --network ctown.inp',
    'field-trial --history a.csv --feed b.csv --network net.inp --plant plant.yaml --column "L_T1=Tank 1"',
  );
}

function addFetchData(program: Command): void {
  const fetching = program
    .command('fetch-data')
    .description('fetch BATADAL and the C-Town network from their publishers, with SHA-256 checks')
    .option('--out <dir>', 'where to put the files', 'data/batadal')
    .action(async (options: { out: string }) => {
      const { main } = await import('../fetch-data.js');
      await main(options);
    });
  withExamples(fetching, 'fetch-data', 'fetch-data --out ~/batadal');
}
