import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** MQTT 3.1.1, section 2.2. */
const [CONNACK, PUBLISH, SUBACK] = [2, 3, 9];
const [CLEAN, KEPT] = [2, 0];

/**
 * A client of a few bytes of MQTT, so that what is measured is the broker: a whole client library would take as long as the broker does.
 * Acknowledges what it gets at once.
 */
export class LoadClient {
  readonly #socket: Socket;
  readonly #onMessage: (payload: Buffer) => void;
  readonly #answers = new Map<number, () => void>();
  #rest: Buffer = Buffer.alloc(0);
  #messageId = 0;

  private constructor(socket: Socket, onMessage: (payload: Buffer) => void) {
    this.#socket = socket;
    this.#onMessage = onMessage;
  }

  static async open(
    port: number,
    id: string,
    keepsSession: boolean,
    onMessage: (payload: Buffer) => void = () => undefined,
  ): Promise<LoadClient> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.setNoDelay(true);
    const client = new LoadClient(socket, onMessage);
    socket.on('data', (data) => client.#take(data));
    socket.on('error', () => undefined);
    const flags = keepsSession ? KEPT : CLEAN;
    const body = Buffer.concat([text('MQTT'), Buffer.from([4, flags, 0, 0]), text(id)]);
    await client.#ask(0x10, body, CONNACK);
    return client;
  }

  async subscribe(filter: string, qos: 0 | 1): Promise<void> {
    await this.#ask(0x82, Buffer.concat([Buffer.from([0, 1]), text(filter), Buffer.from([qos])]), SUBACK);
  }

  publish(topic: string, payload: Buffer, qos: 0 | 1): void {
    this.#messageId = (this.#messageId % 65_535) + 1;
    const id = qos === 0 ? Buffer.alloc(0) : Buffer.from([this.#messageId >> 8, this.#messageId & 0xff]);
    this.#socket.write(packet(0x30 | (qos << 1), Buffer.concat([text(topic), id, payload])));
  }

  close(): void {
    this.#socket.end(Buffer.from([0xe0, 0]));
  }

  #ask(header: number, body: Buffer, answer: number): Promise<void> {
    return new Promise((resolve) => {
      this.#answers.set(answer, resolve);
      this.#socket.write(packet(header, body));
    });
  }

  #take(data: Buffer): void {
    const bytes = this.#rest.length === 0 ? data : Buffer.concat([this.#rest, data]);
    const acknowledgements: number[] = [];
    let at = 0;
    for (;;) {
      let [length, shift, body] = [0, 0, at + 1];
      let byte: number | undefined;
      do {
        byte = bytes[body++];
        length += ((byte ?? 0) & 0x7f) * 2 ** shift;
        shift += 7;
      } while (byte !== undefined && byte >= 0x80);
      if (byte === undefined || body + length > bytes.length) break;
      const header = bytes[at] ?? 0;
      if (header >> 4 === PUBLISH) {
        let payload = body + 2 + bytes.readUInt16BE(body);
        if ((header & 6) !== 0) {
          acknowledgements.push(0x40, 2, bytes[payload] ?? 0, bytes[payload + 1] ?? 0);
          payload += 2;
        }
        this.#onMessage(bytes.subarray(payload, body + length));
      } else this.#answers.get(header >> 4)?.();
      at = body + length;
    }
    this.#rest = bytes.subarray(at);
    if (acknowledgements.length > 0) this.#socket.write(Buffer.from(acknowledgements));
  }
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

function packet(header: number, body: Buffer): Buffer {
  const head = [header];
  let rest = body.length;
  do {
    head.push((rest & 0x7f) + (rest > 0x7f ? 0x80 : 0));
    rest >>= 7;
  } while (rest > 0);
  return Buffer.concat([Buffer.from(head), body]);
}
