import { describe, expect, it } from 'vitest';
import { exceptionFrame, isAllowedCount, readFrame, takeRequests } from './modbus-frames.js';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('Modbus TCP frames', () => {
  // Modbus Application Protocol 1.1b3, examples of §6.1 and §6.3 in the TCP framing of the implementation guide.
  it('answers as the examples of the standard do', () => {
    const coils = takeRequests(hex('0001 0000 0006 11 01 0013 0013'))!.requests[0]!;
    expect(coils).toMatchObject({ transaction: 1, unit: 17, table: 'coil', address: 19, count: 19 });
    const bits = Uint16Array.from([...'1011001111010110101'].map(Number));
    expect(readFrame(coils, bits).toString('hex')).toBe('00010000000611'.concat('0103cd6b05'));

    const holding = takeRequests(hex('0002 0000 0006 11 03 006b 0003'))!.requests[0]!;
    expect(readFrame(holding, Uint16Array.from([0x022b, 0, 0x64])).toString('hex')).toBe(
      '00020000000911'.concat('0306022b00000064'),
    );
    expect(exceptionFrame(holding, 2).toString('hex')).toBe('00020000000311'.concat('8302'));
  });

  it('takes requests however the stream cuts them', () => {
    const stream = hex('0001 0000 0006 01 03 0000 0002 0002 0000 0006 01 04 0005 0001');
    for (let cut = 0; cut <= stream.length; cut++) {
      const first = takeRequests(stream.subarray(0, cut))!;
      const second = takeRequests(Buffer.concat([first.rest, stream.subarray(cut)]))!;
      expect([...first.requests, ...second.requests].map(({ table }) => table)).toEqual(['holding', 'input']);
      expect(second.rest.length).toBe(0);
    }
  });

  it('refuses what is no Modbus, no read, or too much at once', () => {
    expect(takeRequests(Buffer.from('GET / HTTP/1.1\r\n'))).toBeNull();
    const write = takeRequests(hex('0001 0000 0006 01 06 0000 0002'))!.requests[0]!;
    expect(write.table).toBeNull();
    const read = { transaction: 1, unit: 1, functionCode: 3, table: 'holding', address: 0 } as const;
    expect([0, 1, 125, 126].map((count) => isAllowedCount({ ...read, count }))).toEqual([false, true, true, false]);
    expect(isAllowedCount({ ...read, table: 'coil', count: 2000 })).toBe(true);
  });
});
