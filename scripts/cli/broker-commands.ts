import { type Command, Option } from 'commander';
import type { BrokerCheckOptions } from '../broker-check/broker-check.js';
import { whole, withExamples } from './options.js';

export function addBrokerCheck(program: Command): void {
  const check = program
    .command('broker-check')
    .description('whether an MQTT broker is safe for a federation, tried with real messages, and what to change')
    .argument('<url>', 'mqtt://host:1883, mqtts://host:8883, ws:// or wss://')
    .option('--username <name>', 'user; one that may publish and read tw-check/#')
    .option('--password-file <file>', 'file with its password')
    .option('--password-env <name>', 'environment variable with its password')
    .option('--ca <file>', "authority that signed the broker's certificate, as PEM")
    .option('--cert <file>', 'own certificate as PEM')
    .option('--key <file>', 'its private key as PEM')
    .addOption(
      new Option('--protocol <name>', 'as agents and server are to speak')
        .choices(['mqtt-3.1.1', 'mqtt-5'])
        .default('mqtt-3.1.1'),
    )
    .option('--messages <n>', 'how many are queued for a client that is away', whole, 2_000)
    .option('--restart', 'also try what outlives a restart: you are told when to restart the broker')
    .option('--topic <prefix>', 'topics of the check begin with this', 'tw-check')
    .action(async (url: string, options: BrokerCheckOptions) => {
      const { checkBroker } = await import('../broker-check/broker-check.js');
      const stop = new AbortController();
      for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort(new Error(name)));
      process.exitCode = await checkBroker(url, options, stop.signal);
    });
  withExamples(
    check,
    'broker-check mqtt://localhost:1883',
    'broker-check mqtt://broker.example:1883 --username server --password-file server.password',
    'broker-check mqtt://localhost:1883 --restart',
    'broker-check mqtts://broker.example:8883 --username server --password-file server.password --ca ca.pem --cert server.pem --key server.key',
  );
}
