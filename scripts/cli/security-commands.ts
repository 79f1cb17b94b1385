import { Argument, type Command, Option } from 'commander';
import { agentName, duration, gather, portNumber, withExamples } from './options.js';

const directoryOption = () =>
  new Option('--dir <dir>', 'the folder that `twinwatch init` made').default('federation').env('TWINWATCH_FEDERATION');

/** Who belongs to a federation: keys, certificates, and what becomes of them. */
export function addSecurity(program: Command): void {
  addInit(program);
  addMembers(program);
  addUpkeep(program);
}

function addInit(program: Command): void {
  const init = program
    .command('init')
    .description('make a federation: authority, certificates, signing key, and configurations of broker and server')
    .argument('[dir]', 'a new folder', 'federation')
    .option('--name <name>', 'of the federation', agentName, 'works')
    .option('--host <host>', 'name or address under which this machine is reached; may be repeated', gather)
    .option('--broker-host <host>', 'the same for the machine of the broker, where it is another', gather)
    .option('--broker-port <port>', 'of the broker', portNumber, 8883)
    .option('--enrolment-port <port>', 'of `twinwatch enrolment`', portNumber, 8884)
    .option('--http-port <port>', 'of the page, on this machine only', portNumber, 8080)
    .option('--plant <file>', 'plant.yaml of the twin; the reference plant without it')
    .action(async (dir: string, options) => {
      const { initCommand } = await import('../security/commands.js');
      await initCommand(dir, options);
    });
  withExamples(init, 'init', 'init /etc/twinwatch --name water-works --host 10.0.0.5 --host plant-server');
}

function addMembers(program: Command): void {
  const enrol = program
    .command('enrol')
    .description('let an agent in: makes a folder with its keys and configuration, to be copied to its device')
    .argument('<agent>', 'its name', agentName)
    .addOption(directoryOption())
    .option('--out <folder>', 'where to make it; bundles/AGENT in the folder of the federation without it')
    .option('--again', 'although an agent of that name belongs already: its device was replaced')
    .action(async (agent: string, options) => {
      const { enrolCommand } = await import('../security/commands.js');
      await enrolCommand(agent, options);
    });
  withExamples(enrol, 'enrol pump-house-2', 'enrol pump-house-2 --out /media/usb/pump-house-2');
  const token = program
    .command('token')
    .description('let an agent in by a token: its device makes its own keys, which never leave it')
    .argument('<agent>', 'its name', agentName)
    .addOption(directoryOption())
    .option('--valid <duration>', 'how long it may be used, once', duration, duration('1h'))
    .option('--again', 'although an agent of that name belongs already: its device was replaced')
    .action(async (agent: string, options) => {
      const { tokenCommand } = await import('../security/commands.js');
      await tokenCommand(agent, options);
    });
  withExamples(token, 'token pump-house-2', 'token pump-house-2 --valid 10m');
  const join = program
    .command('join')
    .description('on a device: join a federation with the token that `twinwatch token` printed')
    .argument('<url>', 'of `twinwatch enrolment`')
    .argument('<token>', 'counts once')
    .option('--out <folder>', 'a new folder for keys and configuration; named after the agent without it')
    .action(async (url: string, text: string, options) => {
      const { joinCommand } = await import('../security/commands.js');
      await joinCommand(url, text, options);
    });
  withExamples(join, 'join https://plant-server:8884 tw1_…');
  const revoke = program
    .command('revoke')
    .description('put an agent out: broker and server refuse it at once')
    .argument('<agent>', 'its name', agentName)
    .addOption(directoryOption())
    .action(async (agent: string, options) => {
      const { revokeCommand } = await import('../security/commands.js');
      await revokeCommand(agent, options);
    });
  withExamples(revoke, 'revoke pump-house-2');
  const enrolment = program
    .command('enrolment')
    .description('run the service by which devices join with a token, and members renew their certificates')
    .addOption(directoryOption())
    .option('--host <address>', 'to listen on', '0.0.0.0')
    .option('--port <port>', 'to listen on; 0 takes any free port', portNumber)
    .action(async (options) => {
      const { enrolmentCommand } = await import('../security/commands.js');
      await enrolmentCommand(options);
    });
  withExamples(enrolment, 'enrolment --dir /etc/twinwatch');
}

function addUpkeep(program: Command): void {
  const rotate = program
    .command('rotate')
    .description('put a new key in the place of an old one, without stopping the federation')
    .addArgument(new Argument('<what>', 'whose').choices(['ca', 'broker', 'server', 'administrator', 'signing']))
    .addOption(directoryOption())
    .option('--overlap <duration>', 'of signing keys: time for agents to hear of the new one', duration, duration('7d'))
    .option('--finish', 'of ca: end the trust in the authorities before the newest')
    .option('--force', 'of ca --finish: although agents would be shut out')
    .action(async (what, options) => {
      const { rotateCommand } = await import('../security/commands.js');
      await rotateCommand(what, options);
    });
  withExamples(rotate, 'rotate broker', 'rotate signing --overlap 2d', 'rotate ca', 'rotate ca --finish');
  const renew = program
    .command('renew')
    .description('on a device: get a new certificate now; a running agent does it by itself in time')
    .requiredOption('-c, --config <file>', "the agent's configuration")
    .option('--signing', 'a new key for signatures, too')
    .action(async (options) => {
      const { renewCommand } = await import('../security/commands.js');
      await renewCommand(options);
    });
  withExamples(renew, 'renew --config pump-house-2/agent.yaml --signing');
  const certificates = program
    .command('certificates')
    .description('every certificate with the days it has left; exit code 1 where one ends soon')
    .addOption(directoryOption())
    .action(async (options) => {
      const { certificatesCommand } = await import('../security/commands.js');
      await certificatesCommand(options);
    });
  withExamples(certificates, 'certificates --dir /etc/twinwatch');
}
