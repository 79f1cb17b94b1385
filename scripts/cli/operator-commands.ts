import type { AlarmAction } from '@twinwatch/core/wire/commands';
import { type Command, Option } from 'commander';
import type { DecideOptions } from '../operator/decide.js';
import type { ServerOption } from '../operator/server-client.js';
import { asDefault, withExamples } from './options.js';

const serverOption = () =>
  new Option('--server <url>', 'the twin-server').default('http://127.0.0.1:8080').env('TWINWATCH_SERVER');

/** Whatever speaks to a server may have to log in. */
function withLogin(command: Command): void {
  for (const part of command.commands) withLogin(part);
  if (!command.options.some(({ long }) => long === '--server')) return;
  command
    .addOption(new Option('--as <operator>', 'log in, where the server has operators').env('TWINWATCH_OPERATOR'))
    .addOption(new Option('--password-file <file>', "with that operator's password").env('TWINWATCH_PASSWORD_FILE'));
}

const deciding = (command: Command) =>
  command
    .addOption(serverOption())
    .option('--by <name>', 'whose decision it is; the user of this machine without it')
    .option('--wait <duration>', 'how long to wait for the agent; the server goes on trying', '10s');

const ACTIONS: readonly (readonly [AlarmAction, string])[] = [
  ['confirm', 'it was an attack, or a fault: the rows of the alarm are learned as such'],
  ['dismiss', 'it was a false alarm: the rows of the alarm are learned as normal'],
  ['acknowledge', 'somebody looks after it'],
  ['shelve', 'keep it quiet for a while'],
  ['unshelve', 'end that early'],
];

/** What an operator decides, through the server: alarms and labels, for the devices to learn from, and whom to trust again. */
export function addOperator(program: Command): void {
  const alarms = program.command('alarms').description('list alarms, and decide about them');
  const list = alarms
    .command('list', { isDefault: true })
    .description('alarms that are active or wait for a decision')
    .addOption(serverOption())
    .option('--site <agent>', 'of one site only')
    .option('--all', 'those that were decided and are over, too')
    .action(async (options: ServerOption & { site?: string; all?: boolean }) => {
      const { listAlarms } = await import('../operator/decide.js');
      await listAlarms(options);
    });
  withExamples(asDefault(list), 'alarms list', 'alarms list --site site-3 --all');
  withExamples(alarms, 'alarms', 'alarms show site-3:1767225601', 'alarms dismiss site-3:1767225601 --by Ada');
  const show = alarms
    .command('show')
    .description('one alarm: when, how high its score, which tags, and who decided what about it')
    .argument('<alarm>', "as 'alarms list' names it")
    .addOption(serverOption())
    .action(async (alarmId: string, options: ServerOption) => {
      const { showAlarm } = await import('../operator/decide.js');
      await showAlarm(alarmId, options);
    });
  withExamples(show, 'alarms show site-3:1767225601');
  for (const [action, meaning] of ACTIONS) {
    const command = deciding(alarms.command(action).description(meaning)).argument(
      '<alarm...>',
      "as 'alarms list' names it",
    );
    if (action === 'shelve') command.requiredOption('--for <duration>', "how long, in the plant's time, as 8h");
    command.action(async (alarmIds: string[], options: DecideOptions & { for?: string }) => {
      const { decideAlarms } = await import('../operator/decide.js');
      process.exitCode = await decideAlarms(action, alarmIds, options);
    });
    withExamples(command, `alarms ${action} site-3:1767225601${action === 'shelve' ? ' --for 8h' : ' --by Ada'}`);
  }
  addQuarantine(program);
  addModels(program);
  addBackup(program);
  const label = deciding(
    program.command('label').description('say what the rows of a time range were; overrules what alarms say of them'),
  )
    .argument('<site>', 'the agent')
    .argument('<from>', 'as 2026-01-17T00:15Z; UTC where no zone is given')
    .argument('<to>', 'included; a day without a time means all of it')
    .addOption(new Option('--normal', 'normal operation').conflicts('attack'))
    .addOption(new Option('--attack', 'an attack, or a fault'))
    .action(
      async (
        site: string,
        from: string,
        to: string,
        options: DecideOptions & { normal?: boolean; attack?: boolean },
      ) => {
        const { labelRange } = await import('../operator/decide.js');
        process.exitCode = await labelRange(site, from, to, options);
      },
    );
  withExamples(
    label,
    'label site-3 2026-01-17T00:15Z 2026-01-17T06:30Z --attack --by Ada',
    'label site-3 2026-02-01 2026-02-03 --normal      # three whole days',
  );
  for (const command of program.commands) withLogin(command);
}

function addModels(program: Command): void {
  const model = program
    .command('model')
    .description('models: which one agents run, what became of the others, and going back');
  const list = model
    .command('list', { isDefault: true })
    .description('newest first, with what became of each and why; * is the one that agents run')
    .addOption(serverOption())
    .action(async (options: ServerOption) => (await import('../operator/models.js')).listModels(options));
  withExamples(asDefault(list), 'model list');
  withExamples(model, 'model', 'model show v2-r20-1f3c9a70', 'model rollback --by Ada');
  const show = model
    .command('show')
    .description('where one comes from: round, agents, scores, hashes, gates')
    .argument('<version>', "as 'model list' names it")
    .addOption(serverOption())
    .action(async (version: string, options: ServerOption) =>
      (await import('../operator/models.js')).showModel(version, options),
    );
  withExamples(show, 'model show v2-r20-1f3c9a70');
  const release = model
    .command('release')
    .description('let all agents run it now, whatever its trial says')
    .argument('<version>', "as 'model list' names it")
    .addOption(serverOption())
    .option('--by <name>', 'whose decision it is; the user of this machine without it')
    .action(async (version: string, options: ServerOption & { by?: string }) =>
      (await import('../operator/models.js')).releaseModel(version, options),
    );
  withExamples(release, 'model release v2-r20-1f3c9a70 --by Ada');
  const rollback = model
    .command('rollback')
    .description('let all agents go back; ends a trial that is under way')
    .argument('[version]', 'to this one; to the one before without it')
    .addOption(serverOption())
    .option('--by <name>', 'whose decision it is; the user of this machine without it')
    .option('--reason <text>', 'told to agents, and kept')
    .action(async (version: string | undefined, options: ServerOption & { by?: string; reason?: string }) =>
      (await import('../operator/models.js')).rollbackModel(version, options),
    );
  withExamples(rollback, "model rollback --by Ada --reason 'too many false alarms'");
}

function addQuarantine(program: Command): void {
  const quarantine = program
    .command('quarantine')
    .description('agents that are not asked any more, since their updates were refused too often');
  const list = quarantine
    .command('list', { isDefault: true })
    .description('which they are, and why')
    .addOption(serverOption())
    .action(async (options: ServerOption) => {
      const { listQuarantine } = await import('../operator/quarantine.js');
      await listQuarantine(options);
    });
  withExamples(quarantine, 'quarantine', 'quarantine lift site-3 --by Ada');
  withExamples(asDefault(list), 'quarantine list', 'quarantine list --server http://plant-server:8080');
  const lift = quarantine
    .command('lift')
    .description('trust one again: it is asked from the next task on')
    .argument('<agent>', "as 'quarantine list' names it")
    .addOption(serverOption())
    .option('--by <name>', 'whose decision it is; the user of this machine without it')
    .action(async (agent: string, options: ServerOption & { by?: string }) => {
      const { liftQuarantine } = await import('../operator/quarantine.js');
      await liftQuarantine(agent, options);
    });
  withExamples(lift, 'quarantine lift site-3 --by Ada');
}

function addBackup(program: Command): void {
  const config = () => new Option('-c, --config <file>', "the server's YAML configuration file").makeOptionMandatory();
  const backup = program
    .command('backup')
    .description('copy what the server knows to a new folder; it may run meanwhile')
    .argument('<folder>', 'that does not exist yet')
    .addOption(config())
    .action(async (folder: string, options: { config: string }) => {
      const { makeBackup } = await import('../operator/backup.js');
      await makeBackup(folder, options);
    });
  withExamples(backup, 'backup --config server.yaml /var/backups/twinwatch-2026-01-17');
  const restore = program
    .command('restore')
    .description("put a backup into the configuration's dataDir, which must hold no journal; then start the server")
    .argument('<folder>', "that 'twinwatch backup' made")
    .addOption(config())
    .action(async (folder: string, options: { config: string }) => {
      const { restoreBackup } = await import('../operator/backup.js');
      await restoreBackup(folder, options);
    });
  withExamples(restore, 'restore --config server.yaml /var/backups/twinwatch-2026-01-17');
}
