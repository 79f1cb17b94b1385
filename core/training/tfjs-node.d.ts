/** Optional: its native library is not there on every machine, so its types come from @tensorflow/tfjs, which it re-exports. */
declare module '@tensorflow/tfjs-node' {
  export * from '@tensorflow/tfjs';
}
