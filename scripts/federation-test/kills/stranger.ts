import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { privateSigningKey } from '@twinwatch/core/security/keys';
import { hashOf } from '@twinwatch/core/wire/blobs';
import { split } from '@twinwatch/core/wire/chunks';
import { ed25519Signer } from '@twinwatch/core/wire/ed25519';
import { encodeEnvelope } from '@twinwatch/core/wire/envelope';
import type { Update } from '@twinwatch/core/wire/messages';
import { topics } from '@twinwatch/core/wire/topics';
import mqtt from 'mqtt';

/** An agent that belongs to the federation, has never said hello, and sends updates all the same: each is refused, and journalled as such. */

const EVERY_MS = 40;

/** @param identity its `security.directory`. @returns what ends it. */
export async function startStranger(
  url: string,
  federation: string,
  agent: string,
  identity: string,
): Promise<() => Promise<void>> {
  const pem = readFileSync(join(identity, 'signing-key.pem'), 'utf8');
  const signer = ed25519Signer(() => privateSigningKey(pem, agent));
  const topic = topics(federation).agent(agent).up;
  const client = mqtt.connect(url);
  client.on('error', () => undefined);
  // Rises over the lives of this process, too.
  let sequence = Date.now() * 1_000;
  const timer = setInterval(() => {
    if (!client.connected) return;
    const update: Update = {
      ...{ kind: 'update', round: 1, attempt: 1, baseHash: hashOf(Uint8Array.of()), codec: 'f32', layerMask: null },
      ...{ delta: Uint8Array.of(1), rows: 1, loss: 0, trainingMs: 0, scores: null },
    };
    const fields = { federation, sender: agent, sequence: sequence++, sentAtMs: Date.now(), message: update };
    const bytes = encodeEnvelope(fields, undefined, { topic, signer });
    client.publish(topic, Buffer.from(split(bytes).chunk(0)), { qos: 1 });
  }, EVERY_MS);
  return async () => {
    clearInterval(timer);
    await client.endAsync(true);
  };
}
