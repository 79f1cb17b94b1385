import { brokerSchema } from '@twinwatch/core/config/broker';
import { LockOut } from '@twinwatch/core/security/lock-out';
import { hashPassword, PasswordChecks } from '@twinwatch/core/security/passwords';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { TestBench } from './test-bench.js';

const bench = new TestBench();
afterEach(() => bench.close());

const limits = { freeAttempts: 3, firstPause: 1_000, longestPause: 60_000 };
const attempt = (address: string, username: string, password: string) => ({
  address,
  username,
  password: Buffer.from(password),
});
let hash = '';
beforeAll(async () => {
  hash = await hashPassword('correct horse');
});

describe('passwords', () => {
  it('match their hash and no other, and a hash is no password', async () => {
    expect(brokerSchema.shape.credentials.safeParse([{ username: 'a', password: hash, role: 'server' }]).success).toBe(
      true,
    );
    expect(hash).not.toBe(await hashPassword('correct horse'));
    const checks = new PasswordChecks([hash, 'in clear here']);
    const matches = (stored: string | undefined, password: string) =>
      checks.matches(stored, Buffer.from(password), () => true);
    for (const password of ['correct horse', 'correct horse', 'correct hors', '', hash])
      expect([password, await matches(hash, password)]).toEqual([password, password === 'correct horse']);
    expect(await matches('in clear here', 'in clear here')).toBe(true);
    expect(await matches('in clear here', 'in clear')).toBe(false);
    expect(await matches(undefined, 'correct horse')).toBe(false);
    expect(await checks.matches(hash, Buffer.from('other'), () => false)).toBeNull();
  });

  it('are refused in a configuration where a hash is damaged', () => {
    const result = brokerSchema.safeParse({
      dataDir: 'x',
      credentials: [{ username: 'a', password: hash.slice(0, -10), role: 'server' }],
    });
    expect(result.error?.issues[0]?.message).toMatch(/twinwatch hash-password/);
  });
});

describe('lock-out', () => {
  it('makes an address that guesses wait, longer each time, and forgets in the end', () => {
    const lockOut = new LockOut(limits);
    const guess = (text: string) => attempt('192.0.2.1', `user ${text}`, text);
    for (const text of ['1', '2', '3']) {
      expect(lockOut.isLocked(guess(text), 0)).toBe(false);
      lockOut.refused(guess(text), 0);
    }
    expect([999, 1_000].map((ms) => lockOut.isLocked(guess('4'), ms))).toEqual([true, false]);
    lockOut.refused(guess('4'), 1_000);
    expect([2_999, 3_000].map((ms) => lockOut.isLocked(guess('5'), ms))).toEqual([true, false]);
    for (let i = 5; i < 30; i++) lockOut.refused(guess(`${i}`), 3_000);
    expect([62_999, 63_000].map((ms) => lockOut.isLocked(guess('x'), ms))).toEqual([true, false]);
    lockOut.refused(guess('later'), 3_000 + 120_001);
    expect(lockOut.isLocked(guess('x'), 3_000 + 120_001)).toBe(false);
    expect(lockOut.isLocked(attempt('192.0.2.2', 'user', 'x'), 3_000)).toBe(false);
  });

  it('protects a name from many addresses, and does not shut out who came in with it before', () => {
    const lockOut = new LockOut(limits);
    lockOut.accepted(attempt('192.0.2.9', 'server', 'right'));
    for (let i = 0; i < 3; i++) lockOut.refused(attempt(`198.51.100.${i}`, 'server', `${i}`), 0);
    expect(lockOut.isLocked(attempt('203.0.113.5', 'server', 'x'), 10)).toBe(true);
    expect(lockOut.isLocked(attempt('192.0.2.9', 'server', 'right'), 10)).toBe(false);
    for (let i = 0; i < 3; i++) lockOut.refused(attempt('192.0.2.9', 'server', `${i}`), 0);
    expect(lockOut.isLocked(attempt('192.0.2.9', 'server', 'right'), 10)).toBe(true);
  });

  it('takes the same wrong password again and again for one mistake', () => {
    const lockOut = new LockOut(limits);
    const mistaken = attempt('192.0.2.1', 'site-1', 'old password');
    for (let i = 0; i < 100; i++) lockOut.refused(mistaken, i);
    expect(lockOut.isRepeated(mistaken)).toBe(true);
    expect(lockOut.isLocked(attempt('192.0.2.1', 'site-2', 'x'), 100)).toBe(false);
  });
});

describe('broker with hashed passwords', () => {
  it('lets in who knows the password, and looks at nothing from who guesses', async () => {
    const lockOut = { freeAttempts: 3, firstPause: 3_600_000, longestPause: 3_600_000 };
    const credentials = [
      { username: 'server', password: hash, role: 'server' as const },
      { username: 'other', password: 'in clear here', role: 'server' as const },
    ];
    const broker = await bench.broker({ credentials, lockOut });
    const connect = (username: string, password: string) => bench.client(broker.port, { username, password });
    expect((await connect('server', 'correct horse')).connected).toBe(true);
    // At once: each waits for its turn, and finds the door shut when the others have failed.
    const guesses = Array.from({ length: 12 }, (_, i) => connect('other', `guess ${i}`).catch((error) => error.code));
    expect(new Set(await Promise.all(guesses))).toEqual(new Set([4]));
    expect(broker.counters).toMatchObject({ refusedConnections: 3, lockedOut: 9 });
    await expect(connect('other', 'in clear here')).rejects.toMatchObject({ code: 4 });
    expect((await connect('server', 'correct horse')).connected).toBe(true);
  });
});
