import { TwinwatchError } from '@twinwatch/core/errors';
import type { FederationDirectory } from './federation-directory.js';
import { alone } from './private-files.js';

/**
 * From now on the broker refuses an agent's certificates, cutting its connection, and the server its messages. What it has contributed stays.
 * @throws TwinwatchError SECURITY_UNKNOWN_AGENT.
 */
export async function revoke(directory: FederationDirectory, agent: string, nowMs: number): Promise<void> {
  await alone(directory.path, async () => {
    const record = await directory.record(agent);
    if (record === null)
      throw new TwinwatchError(
        'SECURITY_UNKNOWN_AGENT',
        `no agent '${agent}' was enrolled in ${directory.path}; \`twinwatch certificates\` lists those that were`,
      );
    await directory.writeRecord({
      ...record,
      revokedAtMs: record.revokedAtMs ?? nowMs,
      certificates: record.certificates.map((one) => ({ ...one, revokedAtMs: one.revokedAtMs ?? nowMs })),
    });
    await directory.revoke(record.certificates, nowMs);
    await directory.publish(nowMs);
  });
}
