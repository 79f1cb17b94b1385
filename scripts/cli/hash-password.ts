import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { Command } from 'commander';
import { withExamples } from './options.js';

const SHORTEST = 8;

export function addHashPassword(program: Command): void {
  const command = program
    .command('hash-password')
    .description(
      'print what to write as `password:` in the broker’s or the server’s file instead of the password itself',
    )
    .action(async () => {
      const password = await readPassword();
      if (password.length < SHORTEST)
        throw new TwinwatchError('CLI_USAGE', `a password has at least ${SHORTEST} characters`);
      const { hashPassword } = await import('@twinwatch/core/security/passwords');
      process.stdout.write(`${await hashPassword(password)}\n`);
    });
  withExamples(command, 'hash-password', 'hash-password < password.txt', 'hash-password <<< "$PASSWORD"');
}

/** The first line of stdin; never an argument, which every user of the machine could read. Not shown where it is typed. */
async function readPassword(): Promise<string> {
  const isTyped = process.stdin.isTTY === true;
  if (isTyped) process.stderr.write('Password: ');
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: nowhere, terminal: isTyped });
  try {
    for await (const line of lines) return line;
    return '';
  } finally {
    lines.close();
    if (isTyped) process.stderr.write('\n');
  }
}
