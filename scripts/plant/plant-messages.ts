import type { SiteEvent } from './site.js';

/** What a plant process and the one that started it say to each other over their channel. */

export type PlantMessage =
  | { readonly kind: 'listening'; readonly sites: Readonly<Record<string, Readonly<Record<string, number>>>> }
  | { readonly kind: 'progress'; readonly sites: Readonly<Record<string, SiteProgress>> }
  | { readonly kind: 'refused'; readonly code: string; readonly message: string }
  | SiteEvent;

export interface SiteProgress {
  readonly rows: number;
  readonly timeMs: number;
  readonly attack: string | null;
}

export interface StartAttack {
  readonly kind: 'start-attack';
  readonly site: string;
  readonly name: string;
}

export function isStartAttack(message: unknown): message is StartAttack {
  const { kind, site, name } = (message ?? {}) as Partial<StartAttack>;
  return kind === 'start-attack' && typeof site === 'string' && typeof name === 'string';
}
