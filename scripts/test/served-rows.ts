import type { Row } from '@twinwatch/core/scada/sample';
import type { DeviceRequest } from '@twinwatch/edge-agent/sources/modbus/testing/scripted-device';

/** For tests: a Modbus device that serves rows of the synthetic plant, as fast as they are read and as far as the test lets it. */

export const START_MS = Date.UTC(2026, 0, 5);
export const ROW_MS = 900_000;

/** Of the device, as an agent reads it. */
export const SERVED_TEMPLATE = `clock: { register: input, address: 100 }
tags:
  - { name: LEVEL, unit: m, register: holding, address: 0, type: FLOAT32 }
  - { name: FLOW, unit: L/s, register: holding, address: 2, type: FLOAT32 }
  - { name: PUMP, register: holding, address: 4, type: UINT16 }
`;

/** Serves the next row once a row was read and its clock once more, as far as `limit`. */
export class ServedRows {
  row = 0;
  limit: number;
  readonly #rows: readonly Row[];
  #read = false;

  constructor(rows: readonly Row[], limit: number) {
    this.#rows = rows;
    this.limit = limit;
  }

  answer({ functionCode, address, count }: DeviceRequest): Buffer {
    const pdu = Buffer.alloc(2 + count * 2);
    pdu[0] = functionCode;
    pdu[1] = count * 2;
    if (address === 100) {
      pdu.writeUInt32BE(this.row + 1, 2);
      pdu.writeUInt32BE(START_MS / 1_000 + this.row * (ROW_MS / 1_000), 6);
      if (this.#read && this.row + 1 < this.limit) {
        this.row++;
        this.#read = false;
      }
      return pdu;
    }
    const [level = 0, flow = 0, pump = 0] = this.#rows[this.row]!.values;
    pdu.writeFloatBE(level, 2);
    pdu.writeFloatBE(flow, 6);
    pdu.writeUInt16BE(pump, 10);
    this.#read = true;
    return pdu;
  }
}
