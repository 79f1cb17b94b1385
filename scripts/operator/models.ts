import { userInfo } from 'node:os';
import {
  type ModelDecisionRequest,
  type RegistryView,
  ROLLBACK_PATH,
  releaseModelPath,
} from '@twinwatch/core/wire/http';
import { type ServerOption, serverClient } from './server-client.js';
import { modelTable, modelWords } from './words.js';

/** Models and what became of them: which one agents run, releasing one at once, and going back. All throw TwinwatchError CLI_SERVER_*. */

interface Deciding extends ServerOption {
  readonly by?: string;
  readonly reason?: string;
}

export async function listModels(options: ServerOption): Promise<void> {
  process.stdout.write(`${modelTable(await serverClient(options).registry())}\n`);
}

export async function showModel(version: string, options: ServerOption): Promise<void> {
  const view = await serverClient(options).registry();
  if (!view.models.some(({ modelVersion }) => modelVersion === version)) process.exitCode = 2;
  process.stdout.write(`${modelWords(view, version)}\n`);
}

export async function releaseModel(version: string, options: Deciding): Promise<void> {
  const request: ModelDecisionRequest = { by: options.by ?? userInfo().username };
  const view = await serverClient(options).change<RegistryView>(releaseModelPath(version), request);
  process.stdout.write(`agents are told to run ${view.current}\n`);
}

/** @param version the one before where absent. */
export async function rollbackModel(version: string | undefined, options: Deciding): Promise<void> {
  const { by = userInfo().username, reason } = options;
  const request: ModelDecisionRequest = { by, version, reason };
  const view = await serverClient(options).change<RegistryView>(ROLLBACK_PATH, request);
  process.stdout.write(`agents are told to run ${view.current}\n`);
}
