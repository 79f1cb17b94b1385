import type { EventEmitter } from 'node:events';

interface QosPacket {
  readonly qos: number;
  readonly payload: { readonly length: number };
}
type Deliver = (packet: QosPacket, done: () => void) => void;

/** What of an aedes client its types leave out. */
interface Delivering {
  readonly clean: boolean;
  deliverQoS: Deliver;
}

/**
 * aedes sends a client that comes back what its session holds while it already delivers what is published now, which arrives first, then:
 * MQTT 3.1.1, section 4.6, wants each topic in order, and a reader that takes nothing older than what it has had would refuse all of the queue. Here what is
 * new waits until the queue is sent. It is in the session as well: where the connection breaks meanwhile, it comes with the next one.
 * @param maximumBytes of a client, waiting in memory; beyond it, messages overtake the queue as they would without this.
 * @returns what is to be called with a client before it subscribes to anything.
 */
export function queueFirst(aedes: EventEmitter, maximumBytes: number): (client: object) => void {
  const releases = new WeakMap<object, () => void>();
  // aedes says so after the last of the queue.
  aedes.on('clientReady', (client: object) => {
    releases.get(client)?.();
    releases.delete(client);
  });
  return (client) => {
    const delivering = client as Delivering;
    const deliver = delivering.deliverQoS;
    const held: QosPacket[] = [];
    let bytes = 0;
    let isReady = false;
    delivering.deliverQoS = (packet, done) => {
      if (isReady || delivering.clean || packet.qos === 0 || bytes + packet.payload.length > maximumBytes) {
        deliver(packet, done);
        return;
      }
      bytes += packet.payload.length;
      held.push(packet);
      setImmediate(done);
    };
    releases.set(client, () => {
      isReady = true;
      for (const packet of held.splice(0)) deliver(packet, () => undefined);
    });
  };
}
