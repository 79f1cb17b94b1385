import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type ErrorCode, TwinwatchError } from '../errors.js';
import { publicKeyOf } from '../security/keys.js';
import { ed25519Signer, ed25519Verifier, type TrustedKey } from './ed25519.js';
import { encodeEnvelope } from './envelope.js';
import { Gate } from './gate.js';
import { encodeJson, parseAgentStatus, parseServerStatus } from './json-messages.js';
import type { Manifest, Update, WireMessage } from './messages.js';
import { type Floor, type Floors, risingSequence, type StatusPlace, statusPlaces } from './replay.js';
import { signJson, verifyEnvelope } from './signing.js';
import { topics } from './topics.js';

const newKey = () => generateKeyPairSync('ed25519').privateKey;
const [siteKey, otherKey, serverKey] = [newKey(), newKey(), newKey()];
const trusted = (owner: string, key: KeyObject, isRevoked = false): TrustedKey => ({
  ...{ owner, publicKey: publicKeyOf(key), untilMs: null, isRevoked },
});
const site = topics('plant').agent('site-1');
const hash = 'a'.repeat(64);
const UPDATE: Update = {
  ...{ kind: 'update', round: 3, attempt: 1, baseHash: hash, codec: 'int8', layerMask: null, rows: 10, loss: 0.1 },
  ...{ delta: Uint8Array.of(1, 2, 3), trainingMs: 1, scores: { counts: [1], rows: 1 } },
};
const MANIFEST: Manifest = {
  ...{ kind: 'manifest', modelVersion: 'v1', round: 1, threshold: 0.5, releasedAtMs: 1 },
  ...{ model: { hash, bytes: 1 }, lineage: { hash, bytes: 1 } },
};

interface Sent {
  readonly key?: KeyObject | null;
  readonly topic?: string;
  readonly federation?: string;
  readonly sender?: string;
  readonly sequence?: number;
}

function sent(message: WireMessage, as: Sent = {}): Uint8Array {
  const { key = siteKey, topic = site.up, federation = 'plant', sender = 'site-1', sequence = 1 } = as;
  const signer = key === null ? null : ed25519Signer(() => key);
  return encodeEnvelope({ federation, sender, sequence, sentAtMs: 5, message }, undefined, { topic, signer });
}

function gate(keys: () => readonly TrustedKey[], floors: Floors = {}, risen: Record<string, Floor> = {}): Gate {
  return new Gate({
    federation: 'plant',
    trust: { signer: null, verifier: ed25519Verifier(keys, () => 7) },
    floors,
    onFloor: (key, floor) => {
      risen[key] = floor;
    },
    now: () => 7,
  });
}

function codeOf(work: () => unknown): ErrorCode | 'none' {
  try {
    work();
    return 'none';
  } catch (error) {
    if (error instanceof TwinwatchError) return error.code;
    throw error;
  }
}

const enrolled = [trusted('site-1', siteKey), trusted('site-2', otherKey)];

describe('a signed message', () => {
  it('is taken on its topic, from its sender, and costs 80 bytes', () => {
    const bytes = sent(UPDATE);
    expect(gate(() => enrolled).open(site.up, bytes, 'site-1')).toMatchObject({ round: 3, baseHash: hash });
    expect(bytes.length - sent(UPDATE, { key: null }).length).toBe(80);
  });

  it('is refused with any one byte changed', () => {
    const bytes = sent(UPDATE);
    const verifier = ed25519Verifier(
      () => enrolled,
      () => 7,
    );
    for (let i = 0; i < bytes.length; i++) {
      const changed = Uint8Array.from(bytes);
      changed[i]! ^= 1 << (i % 8);
      expect(codeOf(() => verifyEnvelope(site.up, changed, 'site-1', verifier))).toMatch(
        /^WIRE_(UNSIGNED|KEY_UNKNOWN|SIGNATURE_INVALID)$/,
      );
    }
  });

  it.each<[string, Sent, string, ErrorCode]>([
    ['without a signature', { key: null }, site.up, 'WIRE_UNSIGNED'],
    ["with another agent's key", { key: otherKey }, site.up, 'WIRE_KEY_UNKNOWN'],
    ['with a key that nobody knows', { key: newKey() }, site.up, 'WIRE_KEY_UNKNOWN'],
    ['that was written for another channel', { topic: site.hello }, site.up, 'WIRE_SIGNATURE_INVALID'],
    [
      'that was written for another federation',
      { topic: topics('other').agent('site-1').up },
      site.up,
      'WIRE_SIGNATURE_INVALID',
    ],
    ['that names another federation', { federation: 'other' }, site.up, 'WIRE_FOREIGN'],
    ['in the name of another agent', { sender: 'site-2' }, site.up, 'WIRE_WRONG_TOPIC'],
    ['of a kind that is not for this channel', { topic: site.hello }, site.hello, 'WIRE_WRONG_TOPIC'],
  ])('%s is refused', (_what, as, topic, code) => {
    const at = gate(() => enrolled);
    expect(codeOf(() => at.open(topic, sent(UPDATE, as), 'site-1'))).toBe(code);
    expect(at.refused.get('site-1')).toMatchObject({ count: 1, byCode: { [code]: 1 }, last: { code, atMs: 7 } });
  });

  it('may come twice, and not again once a newer one was taken, over restarts as well', () => {
    const risen: Record<string, Floor> = {};
    const before = gate(() => enrolled, {}, risen);
    const [first, second] = [sent(UPDATE, { sequence: 8 }), sent(UPDATE, { sequence: 9 })];
    for (const bytes of [first, first, second, second]) before.open(site.up, bytes, 'site-1');
    const after = gate(() => enrolled, risen);
    expect(codeOf(() => after.open(site.up, first, 'site-1'))).toBe('WIRE_REPLAYED');
    expect(codeOf(() => after.open(site.up, second, 'site-1'))).toBe('none');
    // Channels do not wait for each other: a long upload may have begun before a short message.
    const request: WireMessage = { kind: 'blob-request', blob: { hash, bytes: 1 }, missing: null };
    const early = sent(request, { sequence: 2, topic: site.request });
    expect(codeOf(() => after.open(site.request, early, 'site-1'))).toBe('none');
  });

  it('of a calibration in chunks may be older than what overtook it, and not than the last one', () => {
    const at = gate(() => enrolled);
    const calibration: WireMessage = {
      kind: 'calibration',
      schemaHash: hash,
      moments: { count: 3, mean: [1], m2: [1] },
    };
    const [first, second] = [4, 6].map((sequence) => sent(calibration, { sequence })) as [Uint8Array, Uint8Array];
    at.open(site.up, sent(UPDATE, { sequence: 9 }), 'site-1');
    for (const bytes of [first, second]) expect(at.open(site.up, bytes, 'site-1').kind).toBe('calibration');
    expect(codeOf(() => at.open(site.up, first, 'site-1'))).toBe('WIRE_REPLAYED');
    expect(codeOf(() => at.open(site.up, sent(UPDATE, { sequence: 9 }), 'site-1'))).toBe('none');
    // As one message it belongs to the hellos, and to their order.
    const whole = (sequence: number) => sent(calibration, { sequence, topic: site.hello });
    expect(codeOf(() => at.open(site.hello, whole(3), 'site-1'))).toBe('none');
    expect(codeOf(() => at.open(site.hello, whole(2), 'site-1'))).toBe('WIRE_REPLAYED');
  });

  it('is refused from the moment on at which its key is revoked, and a new key begins anew', () => {
    let keys: readonly TrustedKey[] = enrolled;
    const at = gate(() => keys);
    at.open(site.up, sent(UPDATE, { sequence: 50 }), 'site-1');
    const renewed = newKey();
    keys = [trusted('site-1', siteKey, true), trusted('site-1', renewed)];
    expect(codeOf(() => at.open(site.up, sent(UPDATE, { sequence: 51 }), 'site-1'))).toBe('WIRE_KEY_REVOKED');
    expect(codeOf(() => at.open(site.up, sent(UPDATE, { sequence: 1, key: renewed }), 'site-1'))).toBe('none');
  });

  it('of a server counts only with one of the keys that are pinned', () => {
    const { manifest } = topics('plant');
    const from = (key: KeyObject) => sent(MANIFEST, { key, topic: manifest, sender: 'server' });
    const at = gate(() => [trusted('server', serverKey), trusted('server', otherKey)]);
    expect(at.open(manifest, from(serverKey), 'server')).toEqual(MANIFEST);
    expect(at.open(manifest, from(otherKey), 'server')).toEqual(MANIFEST);
    expect(codeOf(() => at.open(manifest, from(siteKey), 'server'))).toBe('WIRE_KEY_UNKNOWN');
    const over = gate(() => [{ ...trusted('server', serverKey), untilMs: 7 }]);
    expect(codeOf(() => over.open(manifest, from(serverKey), 'server'))).toBe('WIRE_KEY_REVOKED');
  });
});

describe('a signed JSON message', () => {
  const { serverStatus } = topics('plant');
  const status = { online: true, connectionId: 'c', softwareVersion: 'größer' };
  const signed = signJson(
    serverStatus,
    encodeJson(status),
    ed25519Signer(() => serverKey),
  );
  const at = () => gate(() => [trusted('server', serverKey)]);
  const read = (payload: Uint8Array, topic = serverStatus) =>
    at().openJson(topic, payload, 'server', parseServerStatus);

  it('is the same message to who does not know of signatures', () => {
    expect(JSON.parse(Buffer.from(signed).toString())).toMatchObject(status);
    expect(read(signed)).toEqual(status);
  });

  it('is refused where it was changed, moved or never signed', () => {
    const changed = Buffer.from(Buffer.from(signed).toString().replace('true', 'null'));
    expect(codeOf(() => read(changed))).toBe('WIRE_SIGNATURE_INVALID');
    expect(codeOf(() => read(signed, topics('other').serverStatus))).toBe('WIRE_SIGNATURE_INVALID');
    expect(codeOf(() => read(encodeJson(status)))).toBe('WIRE_UNSIGNED');
  });
});

describe('a signed status', () => {
  const { status } = topics('plant').agent('site-1');
  const places = () => {
    let next = 10;
    return statusPlaces(() => next++);
  };
  const said = (connectionId: string, online: boolean, place: Partial<StatusPlace>, key = siteKey) => {
    const told = { online, connectionId, atMs: 1, softwareVersion: '1', modelVersion: null, health: null, ...place };
    return signJson(
      status,
      encodeJson(told),
      ed25519Signer(() => key),
    );
  };
  const opened = (at: Gate, payload: Uint8Array) =>
    codeOf(() => at.openStatus(status, payload, 'site-1', parseAgentStatus));

  it('counts once nothing after it was taken: an end, written first, comes after all that its connection said', () => {
    const place = places();
    const lives = ['a', 'b', 'c'].map((id) => {
      const will = said(id, false, place(id, false));
      return { will, first: said(id, true, place(id, true)), second: said(id, true, place(id, true)) };
    });
    const [a, b, c] = lives as [(typeof lives)[0], (typeof lives)[0], (typeof lives)[0]];
    const risen: Record<string, Floor> = {};
    let at = gate(() => enrolled, {}, risen);
    const codes = (...payloads: Uint8Array[]) => payloads.map((payload) => opened(at, payload));
    // A broker may bring each twice; an end of which nobody was told, and one that comes late.
    expect(codes(a.first, a.first, a.second, a.second)).toEqual(Array(4).fill('none'));
    expect(codes(a.first)).toEqual(['WIRE_REPLAYED']);
    expect(codes(a.will, a.will)).toEqual(['none', 'none']);
    expect(codes(a.first, a.second)).toEqual(['WIRE_REPLAYED', 'WIRE_REPLAYED']);
    expect(codes(b.first, a.will, b.second)).toEqual(['none', 'WIRE_REPLAYED', 'none']);
    at = gate(() => enrolled, risen);
    expect(codes(b.first, a.will, a.second, b.second, b.will, b.second)).toEqual([
      ...['WIRE_REPLAYED', 'WIRE_REPLAYED', 'WIRE_REPLAYED'],
      ...['none', 'none', 'WIRE_REPLAYED'],
    ]);
    expect(codes(c.second, b.will, b.second, c.first)).toEqual(['none', ...Array(3).fill('WIRE_REPLAYED')]);
  });

  it('of an older release has no place, and counts until one of the same key has', () => {
    const at = gate(() => [...enrolled, trusted('site-1', otherKey)]);
    const place = places();
    const old = said('a', true, {});
    expect(opened(at, old)).toBe('none');
    expect(opened(at, said('b', true, place('b', true)))).toBe('none');
    expect(opened(at, old)).toBe('WIRE_REPLAYED');
    expect(opened(at, said('c', true, {}, otherKey))).toBe('none');
  });
});

describe('a rising sequence', () => {
  it('goes on above what was used before, also where the clock was set back', () => {
    let kept: number | null = null;
    const start = (nowMs: number) =>
      risingSequence(kept, nowMs, (next) => {
        kept = next;
      });
    const first = start(1_000_000);
    const used = Array.from({ length: 5 }, first);
    expect(used).toEqual([...used].sort((a, b) => a - b));
    const second = start(0);
    expect(second()).toBeGreaterThan(used.at(-1)!);
  });

  it('is written down again before what was written down is used up', () => {
    const kept: number[] = [];
    const next = risingSequence(null, 0, (reserved) => kept.push(reserved));
    for (let i = 0; i < 1_000_001; i++) next();
    expect(kept).toEqual([1_000_000, 2_000_000]);
  });
});
