import type { Row } from '@twinwatch/core/scada/sample';
export async function readRecording(_p: string, _t: readonly string[], _o: object): Promise<{ rows: Row[] }> {
  throw new Error('later');
}
