import { resolve } from 'node:path';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { startCommand } from '../test/started-command.js';
import { createProgram } from './program.js';

/** Every command with its whole name, the program itself among them. */
function all(command: Command, name = ''): { name: string; command: Command }[] {
  const below = command.commands.flatMap((each) => all(each, `${name} ${each.name()}`.trim()));
  return [{ name, command }, ...below];
}

function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({ writeOut: (part) => (text += part) });
  command.outputHelp();
  return text;
}

const examplesOf = (help: string) =>
  help.split('\n').flatMap((line) => /^ {2}\$ twinwatch (.*)$/.exec(line)?.[1] ?? []);

/** Absolute: who started it where npm, or a service, has put them elsewhere sees that. */
const NOWHERE = resolve('nowhere.yaml');

describe('help', () => {
  const program = createProgram();
  const commands = all(program);

  it.each(commands)('of "$name" has examples, of commands and options that there are', ({ name, command }) => {
    const examples = examplesOf(helpOf(command));
    expect(examples, name).not.toEqual([]);
    for (const example of examples) {
      const words = example
        .replace(/\s+#.*$/, '')
        .split(' ')
        .filter((word) => word !== '');
      let at = program;
      const known = new Set(['--help', '--version', '--verbose']);
      for (const word of words) {
        if (word.startsWith('-')) break;
        const next = at.commands.find((each) => each.name() === word);
        if (next === undefined) break;
        at = next;
        for (const { long, short } of at.options) for (const flag of [long, short]) if (flag) known.add(flag);
      }
      if (name !== '') expect(example.startsWith(name), `'${example}' is an example of '${name}'`).toBe(true);
      else expect(at === program && words[0] !== 'help', `'${example}' names a command`).toBe(false);
      for (const word of words) if (word.startsWith('--')) expect([...known], example).toContain(word.split('=')[0]);
    }
  });

  it('groups the commands, none left over', () => {
    const headings = helpOf(program).match(/^\S.*:$/gm);
    expect(headings).toContain('Run a federation:');
    expect(headings).toContain('Operate:');
    expect(headings).not.toContain('Commands:');
  });
});

describe('what is mistyped', () => {
  const failure = async (...args: string[]): Promise<string> => {
    const program = createProgram();
    let shown = '';
    for (const { command } of all(program)) command.configureOutput({ writeErr: (text) => (shown += text) });
    const error: unknown = await program.parseAsync(['node', 'twinwatch', ...args]).then(
      () => null,
      (cause) => cause,
    );
    return error instanceof TwinwatchError ? error.message : shown;
  };

  it.each([
    [['agnet'], 'Did you mean agent?'],
    [['agent', '--chekc'], 'Did you mean --check?'],
    [['agent'], 'needs --config FILE, such as configs/examples/agent.yaml'],
    [['import-config', 'telegraf', 'nowhere.toml'], 'nowhere.toml cannot be read: it is not there; check the path'],
    [
      ['alarms', 'acknolwedge', 'site-1:1'],
      "'alarms' has no 'acknolwedge'; it has list, show, confirm, dismiss, acknowledge",
    ],
    [['model', 'realese', 'v1'], "'model' has no 'realese'; it has list, show, release, rollback"],
    [['alarms', '--server', '10.0.0.5:8080'], 'write it as http://127.0.0.1:8080'],
  ])('%j is answered with what to do', async (args, words) => {
    expect(await failure(...args)).toContain(words);
  });

  it.each([
    [['agent', '--config', 'nowhere.yaml'], `${NOWHERE} cannot be read: it is not there; check the path`],
    [['broker', '--config', 'nowhere.yaml'], `${NOWHERE} cannot be read: it is not there`],
    [['server', '--config', 'nowhere.yaml'], `${NOWHERE} cannot be read: it is not there`],
    [['agent', '--config', '.'], 'it is a folder; name the file in it'],
    [['plant', '--config', 'nowhere.yaml'], `${NOWHERE} cannot be read: it is not there; check the path`],
  ])('%j, which starts a service, is as well', { timeout: 60_000 }, async (args, words) => {
    const started = startCommand(...args);
    expect(await started.ended).toBe(2);
    expect(started.output()).toContain(words);
  });
});
