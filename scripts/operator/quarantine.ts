import { userInfo } from 'node:os';
import { type AgentView, type LiftRequest, liftQuarantinePath } from '@twinwatch/core/wire/http';
import { type ServerOption, serverClient } from './server-client.js';
import { quarantineTable } from './words.js';

/** Agents whose updates were refused too often: which they are, and trusting one again. */

/** @throws TwinwatchError CLI_SERVER_* */
export async function listQuarantine(options: ServerOption): Promise<void> {
  process.stdout.write(`${quarantineTable((await serverClient(options).state()).agents)}\n`);
}

/** Lifting what is lifted already changes nothing. @throws TwinwatchError CLI_SERVER_* */
export async function liftQuarantine(agent: string, options: ServerOption & { readonly by?: string }): Promise<void> {
  const request: LiftRequest = { by: options.by ?? userInfo().username };
  const { id } = await serverClient(options).change<AgentView>(liftQuarantinePath(agent), request);
  process.stdout.write(`${id} is not in quarantine any more: it is asked again from the next task on\n`);
}
