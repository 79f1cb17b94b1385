import { describe, expect, it } from 'vitest';
import { brokerSchema } from './broker.js';
import { parseConfig } from './load.js';

const parse = (text: string) => parseConfig(brokerSchema, `dataDir: d\n${text}`, 'broker.yaml');
const tls = 'tls: { cert: c.pem, key: k.pem, ca: ca.pem }';
const credentials = 'credentials: [{ username: u, password: several words, role: server }]';

describe('a broker’s address', () => {
  it.each(['127.0.0.1', '127.1.2.3', 'localhost', '"::1"'])('%s needs nothing', (host) => {
    expect(() => parse(`host: ${host}`)).not.toThrow();
  });

  it.each(['0.0.0.0', '"::"', '10.0.0.5', 'plant-server', '127.0.0.1.example'])('%s needs TLS', (host) => {
    expect(() => parse(`host: ${host}`)).toThrow(/anybody there may take part.*twinwatch init.*allowInsecure/);
    expect(() => parse(`host: ${host}\n${credentials}`)).toThrow(/passwords.*in clear/);
    expect(parse(`host: ${host}\n${tls}`).tls?.clients).toBe('certificate');
  });

  it('is opened to everybody only by who says so in words', () => {
    expect(() => parse('host: 0.0.0.0\nallowInsecure: true')).toThrow(/I trust everybody on this network/);
    expect(() => parse('host: 0.0.0.0\nallowInsecure: I trust everybody on this network')).not.toThrow();
  });

  it('takes passwords over TLS only where there are some', () => {
    const byPassword = tls.replace(' }', ', clients: password }');
    expect(() => parse(`host: 0.0.0.0\n${byPassword}`)).toThrow(/no credentials to compare with/);
    expect(() => parse(`host: 0.0.0.0\n${byPassword}\n${credentials}`)).not.toThrow();
  });
});
