import type { Timers } from '@twinwatch/core/runtime';
import type { ServerTrust } from './server-trust.js';

export interface KeyWatchOptions {
  readonly trust: ServerTrust;
  readonly timers: Timers;
  /** The server has other keys: to be told while those that agents believe still count. */
  readonly onKeys: () => void;
  readonly onCertificates: () => void;
}

const LOOK_MS = 1_000;

/** Looks whether keys or certificates are others than before. */
export class KeyWatch {
  readonly #options: KeyWatchOptions;
  #announced: ReturnType<ServerTrust['announced']>;
  #certificates: ReturnType<ServerTrust['certificates']>;
  #cancel: () => void = () => undefined;

  constructor(options: KeyWatchOptions) {
    this.#options = options;
    this.#announced = options.trust.announced();
    this.#certificates = options.trust.certificates();
  }

  start(): void {
    this.#cancel = this.#options.timers.after('keys', LOOK_MS, () => {
      this.#look();
      this.start();
    });
  }

  stop(): void {
    this.#cancel();
  }

  #look(): void {
    const { trust, onKeys, onCertificates } = this.#options;
    const [announced, certificates] = [trust.announced(), trust.certificates()];
    const [hasKeys, hasCertificates] = [announced !== this.#announced, certificates !== this.#certificates];
    this.#announced = announced;
    this.#certificates = certificates;
    if (hasKeys) onKeys();
    if (hasCertificates) onCertificates();
  }
}
