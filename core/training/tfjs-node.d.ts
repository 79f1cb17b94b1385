/** Optional: its native library is not there on every machine. What it exports is @tensorflow/tfjs with a native backend. */
declare module '@tensorflow/tfjs-node' {
  import type * as tfjs from '@tensorflow/tfjs';

  const tf: typeof tfjs;
  export default tf;
}
