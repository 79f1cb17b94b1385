import type { ErrorCode } from '../errors.js';
import type { Architecture, FitRequest, FitResult, GradientRequest, GradientResult } from '../learning/engine.js';

/** Between an engine's host and its worker thread. Typed arrays are moved, not copied. */

export type EngineKind = 'auto' | 'builtin' | 'tensorflow';

export type EngineRequest = { readonly id: number } & (
  | {
      readonly type: 'fit';
      readonly request: FitRequest;
      /** One element; 1 says stop. Shared, as the worker reads no messages while it trains. */
      readonly stop: Int32Array;
    }
  | { readonly type: 'gradient'; readonly request: GradientRequest }
  | {
      readonly type: 'score';
      readonly architecture: Architecture;
      readonly parameters: Float32Array;
      readonly features: Float32Array;
    }
);

export interface EngineFault {
  /** Null for errors that are not the product's own. */
  readonly code: ErrorCode | null;
  readonly message: string;
  readonly context: Readonly<Record<string, unknown>>;
}

export type EngineResult = FitResult | GradientResult | Float32Array;

export type EngineReply =
  | { readonly type: 'ready'; readonly engine: string }
  | { readonly type: 'unavailable'; readonly fault: EngineFault }
  | { readonly type: 'note'; readonly message: string }
  | { readonly type: 'done'; readonly id: number; readonly engine: string; readonly result: EngineResult }
  | { readonly type: 'failed'; readonly id: number; readonly fault: EngineFault };
