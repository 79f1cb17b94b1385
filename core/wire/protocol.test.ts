import { describe, expect, it } from 'vitest';
import { agreement, commonProtocol, type ProtocolRange, protocolForAll, requireSpoken } from './protocol.js';

const range = (oldest: number, newest = oldest): ProtocolRange => ({ oldest, newest });

describe('two ends', () => {
  it.each([
    [range(1), range(1), 1],
    [range(1), range(1, 2), 1],
    [range(1, 2), range(1), 1],
    [range(1, 3), range(2, 4), 3],
    [range(2, 3), range(1, 2), 2],
    [range(1), range(0, 5), 1],
    [range(1), range(2, 3), null],
    [range(1), range(0), null],
    [range(1, 2), undefined, 1],
    [range(2, 3), undefined, null],
  ])('that speak %o and %o settle on %s, whichever asks', (own, other, protocol) => {
    expect(commonProtocol(own, other)).toBe(protocol);
    if (other !== undefined) expect(commonProtocol(other, own)).toBe(protocol);
  });

  it.each([
    [range(2, 3), undefined, 'agent', 'upgrade agent site-1'],
    [undefined, range(2, 3), 'server', 'upgrade the server'],
    [range(1), range(0), 'agent', 'upgrade agent site-1'],
  ])('a server of %o and an agent of %o: the %s is older, and is named', (servers, agents, older, words) => {
    const found = agreement({ softwareVersion: '9', protocols: servers }, 'site-1', {
      softwareVersion: '8',
      protocols: agents,
    });
    expect(found).toMatchObject({ agreed: false, older, reason: expect.stringContaining(words) });
    expect(found).toMatchObject({ reason: expect.stringMatching(/release 8\) speaks .*release 9\) speaks /) });
  });

  it('agree on a number where there is one', () => {
    const old = { softwareVersion: '1' };
    expect(agreement({ softwareVersion: '2', protocols: range(1, 2) }, 'a', old)).toEqual({
      agreed: true,
      protocol: 1,
    });
  });
});

it.each([
  ['nobody', range(1, 2), [], 1],
  ['old and new', range(1, 2), [undefined, range(1, 2)], 1],
  ['new ones only', range(1, 2), [range(1, 2), range(2, 3)], 2],
  ['more new ones than old ones that have nothing in common', range(1, 2), [range(1), range(2), range(2)], 2],
  ['one that cannot be talked to', range(1, 2), [range(5)], 1],
])('what all read is said for %s', (_, own, told, protocol) => {
  expect(protocolForAll(own, told)).toBe(protocol);
});

it('a message outside the range is refused, and says which end to upgrade', () => {
  for (const protocol of [1, 2]) requireSpoken(protocol, range(1, 2));
  expect(() => requireSpoken(3, range(1, 2))).toThrow(/protocols 1 to 2; upgrade this end/);
  expect(() => requireSpoken(0, range(1))).toThrow(/speaks protocol 1; upgrade its sender/);
});
