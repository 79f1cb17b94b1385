import { z } from 'zod';
import { trustFile } from './key-files.js';
import { publicKeyText } from './keys.js';

/** What a device and the enrolment service say to each other, in JSON over HTTPS. Certificates and requests are PEM. */

export const authoritiesAnswer = z.object({ ca: z.string() });

/** To POST /v1/join. */
export const joinRequest = z.strictObject({
  token: z.string().max(256),
  request: z.string().max(4096),
  /** Of the key that the agent signs messages with. */
  publicKey: publicKeyText,
});

/** To POST /v1/renew; the key for signatures stays as it is where it is null. */
export const renewRequest = z.strictObject({ request: z.string().max(4096), publicKey: publicKeyText.nullable() });

/** What every member may know. */
export const memberKnowledge = z.object({
  /** Newest first. */
  ca: z.string(),
  trust: trustFile,
  federation: z.string(),
  brokerUrl: z.string(),
  enrolmentUrl: z.string(),
  /** Of the rows of its agents; a service of an earlier release tells none. */
  intervalMs: z.number().positive().optional(),
});

export const membershipAnswer = memberKnowledge.extend({ certificate: z.string(), agent: z.string() });

export type MemberKnowledge = z.infer<typeof memberKnowledge>;
export type MembershipAnswer = z.infer<typeof membershipAnswer>;
