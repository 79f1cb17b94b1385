import { createRandom } from '@twinwatch/core/learning/random';
import type { ClientExamples } from '@twinwatch/twin-server/aggregator/client-examples';
import type { Tamper } from '@twinwatch/twin-server/aggregator/in-process-client';

/** Clients that do not keep to the rules, for federations in one process. Everything else about them is as honest clients have it. */

/**
 * labelFlip: every label of the rows it trains on is turned round; strength is of no account.
 * signFlip: −strength · Δ in place of the update Δ. From share · (1 + strength) > 1 on, their mean points the wrong way.
 * scaled: strength · Δ.
 * noise: Gaussian noise whose norm is about strength · ‖Δ‖ in place of Δ.
 */
export type Attack = 'labelFlip' | 'signFlip' | 'scaled' | 'noise';

export interface Adversaries {
  readonly attack: Attack;
  /** 0..1 of the clients, rounded to whole ones. */
  readonly share: number;
  readonly strength: number;
  readonly seed: number;
}

export interface Adversarial {
  readonly clients: readonly ClientExamples[];
  readonly tamper: Tamper;
  /** Which of them are hostile. */
  readonly hostile: ReadonlySet<string>;
}

/** Makes a share of the clients, drawn by the seed, hostile; the same seed draws the same ones, and more for a larger share. */
export function withAdversaries(clients: readonly ClientExamples[], of: Adversaries): Adversarial {
  const { attack, share, strength, seed } = of;
  const drawn = createRandom(`${seed}:adversaries`).shuffle(clients.map(({ id }) => id));
  const hostile = new Set(drawn.slice(0, Math.round(share * clients.length)));
  return {
    hostile,
    clients:
      attack === 'labelFlip' ? clients.map((client) => (hostile.has(client.id) ? flipped(client) : client)) : clients,
    tamper: (agent, delta, round) => {
      if (!hostile.has(agent)) return delta;
      switch (attack) {
        case 'labelFlip':
          return delta;
        case 'signFlip':
          return delta.map((value) => -strength * value);
        case 'scaled':
          return delta.map((value) => strength * value);
        case 'noise': {
          const random = createRandom(`${seed}:noise:${round}:${agent}`);
          const deviation = (strength * Math.hypot(...delta)) / Math.sqrt(delta.length);
          return delta.map(() => deviation * random.normal());
        }
      }
    },
  };
}

/** Calibration stays that of the true labels: an attacker who wants to stay unseen does not show there. */
function flipped(client: ClientExamples): ClientExamples {
  return { ...client, labels: client.labels.map((label) => 1 - label) };
}
