import { PARAMETER_CODECS } from '@twinwatch/core/wire/parameter-codec';
import type { ProtocolRange } from '@twinwatch/core/wire/protocol';
import { keyIdText } from '@twinwatch/core/wire/signing';
import { countEligible, type TrainingLimits } from '../training/local-training.js';
import { enveloped, type FederationContext } from './federation-context.js';

export interface HelloOptions {
  readonly context: FederationContext;
  readonly softwareVersion: string;
  readonly protocols: ProtocolRange;
  readonly siteTags: () => readonly string[];
  /** Null for an agent that only detects. */
  readonly training: { readonly limits: TrainingLimits; readonly engineName: string } | null;
  /** False while server and agent have no protocol in common. */
  readonly mayTalk: () => boolean;
  readonly lineageHash: () => string | null;
  readonly modelVersion: () => string | null;
}

/** More rows to learn from by this share: worth telling the server. */
const GROWTH = 1.1;

/** What an agent has, as it tells the server on every connection and whenever that changes. */
export class HelloSender {
  readonly #options: HelloOptions;
  #toldEligible = -1;
  #isCounting = false;

  constructor(options: HelloOptions) {
    this.#options = options;
  }

  async say(): Promise<void> {
    const { context, training, siteTags, softwareVersion, protocols, lineageHash, modelVersion, mayTalk } =
      this.#options;
    const { store, trust, link, log, topics } = context;
    if (!mayTalk()) return;
    try {
      const { eligible, labelled } =
        training === null ? { eligible: 0, labelled: 0 } : await countEligible(store, training.limits);
      const hello = enveloped(context, topics.hello, {
        kind: 'hello',
        softwareVersion,
        tags: siteTags(),
        eligibleRows: eligible,
        labelledRows: labelled,
        codecs: PARAMETER_CODECS,
        engine: training?.engineName ?? 'none',
        lineageHash: lineageHash(),
        modelVersion: modelVersion(),
        ...(trust.pinned === null ? {} : { trustRevision: trust.pinned.current.revision }),
        publicKeyId: trust.signer === null ? null : keyIdText(trust.signer.keyId),
        protocols,
      });
      await link.publish(topics.hello, hello);
      this.#toldEligible = eligible;
    } catch (error) {
      log.debug({ error: String(error) }, 'hello not sent; the next connection sends it');
    }
  }

  /** Beside the status, which does not wait for the disk: it may have to say that the disk does not answer. */
  async sayWhenGrown(): Promise<void> {
    const { training, context } = this.#options;
    if (training === null || this.#isCounting) return;
    this.#isCounting = true;
    const counted = await countEligible(context.store, training.limits).catch(() => null);
    this.#isCounting = false;
    if (counted !== null && counted.eligible > this.#toldEligible * GROWTH) await this.say();
  }
}
