import { httpAccess } from '@twinwatch/core/config/http-access';
import { hashPassword } from '@twinwatch/core/security/passwords';
import { CHANGE_HEADER, LOGIN_PATH, LOGOUT_PATH, liftQuarantinePath, SESSION_PATH } from '@twinwatch/core/wire/http';
import type { FastifyInstance } from 'fastify';
import { afterEach, describe, expect, it } from 'vitest';
import { smallApi } from './testing/small-api.js';

const PASSWORD = 'correct horse battery';
const headers = { [CHANGE_HEADER.name]: CHANGE_HEADER.value };
const apps: FastifyInstance[] = [];
afterEach(async () => {
  for (const app of apps.splice(0)) await app.close();
});

describe('a server with operators', () => {
  async function serving(http: object = {}) {
    const password = await hashPassword(PASSWORD);
    let nowMs = 1_000;
    const operators = [
      { name: 'Ada', password },
      { name: 'Wall', password: 'in clear, as some do', role: 'viewer' },
    ];
    const { app, lifted } = await smallApi({ operators, ...http }, { clock: { monotonic: () => nowMs } });
    apps.push(app);
    const pass = (ms: number) => {
      nowMs += ms;
    };
    const login = (name: string, password: string) =>
      app.inject({ method: 'POST', url: LOGIN_PATH, payload: { name, password }, headers });
    const cookieOf = async (name: string, password: string) => (await login(name, password)).cookies[0]!.value;
    const as = (cookie: string) => ({ cookies: { 'twinwatch-session': cookie } });
    const lift = (more: object = {}) =>
      app.inject({ method: 'POST', url: liftQuarantinePath('site-1'), payload: { by: 'Eve' }, headers, ...more });
    return { app, login, cookieOf, as, lift, lifted, pass };
  }

  it('tells nobody anything who is not logged in, however the path is written', async () => {
    const { app, lift, lifted } = await serving();
    for (const url of [
      '/api/state',
      '/api/agents/site-1/history',
      '/%61pi/state',
      '/api/events',
      '/api/models/v1.onnx',
      '/api/decisions/1',
      '/api/state?x=/api/health',
    ]) {
      const { statusCode, json } = await app.inject(url);
      expect([url, statusCode, json().code]).toEqual([url, 401, 'API_LOGIN_REQUIRED']);
    }
    expect((await lift()).statusCode).toBe(401);
    expect((await lift({ cookies: { 'twinwatch-session': 'A'.repeat(43) } })).statusCode).toBe(401);
    expect(lifted).toEqual([]);
    expect((await app.inject('/api/health')).statusCode).toBe(200);
    expect((await app.inject(SESSION_PATH)).json()).toEqual({ isRequired: true, operator: null });
  });

  it('keeps decisions under the name that is logged in, until that logs out or stays away', async () => {
    const { app, login, cookieOf, as, lift, lifted, pass } = await serving({ session: '1h' });
    const [cookie] = (await login('Ada', PASSWORD)).cookies;
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Strict', path: '/' });
    expect((await lift(as(cookie!.value))).statusCode).toBe(200);
    expect(lifted).toEqual(['Ada']);
    expect((await lift({ ...as(cookie!.value), headers: {} })).json()).toMatchObject({ code: 'API_CROSS_SITE' });
    pass(3_500_000);
    expect((await app.inject({ url: '/api/state', ...as(cookie!.value) })).statusCode).toBe(200);
    pass(3_500_000);
    await app.inject({ method: 'POST', url: LOGOUT_PATH, payload: {}, headers, ...as(cookie!.value) });
    expect((await app.inject({ url: '/api/state', ...as(cookie!.value) })).statusCode).toBe(401);
    const other = await cookieOf('Ada', PASSWORD);
    pass(3_700_000);
    expect((await app.inject({ url: '/api/state', ...as(other) })).statusCode).toBe(401);
  });

  it('ends a session that is never quiet all the same', async () => {
    const { app, cookieOf, as, pass } = await serving({ session: '1h', longestSession: '3h' });
    const cookie = as(await cookieOf('Ada', PASSWORD));
    const codes = [];
    for (let i = 0; i < 4; i++) {
      pass(3_000_000);
      codes.push((await app.inject({ url: '/api/state', ...cookie })).statusCode);
    }
    expect(codes).toEqual([200, 200, 200, 401]);
  });

  it('lets a viewer look, and nothing else', async () => {
    const { app, cookieOf, as, lift, lifted } = await serving();
    const viewer = as(await cookieOf('Wall', 'in clear, as some do'));
    expect((await app.inject({ url: '/api/state', ...viewer })).statusCode).toBe(200);
    expect((await lift(viewer)).json()).toMatchObject({ code: 'API_NOT_ALLOWED' });
    expect(lifted).toEqual([]);
  });

  it('makes who guesses passwords wait, and tells neither names nor which part was wrong', async () => {
    const { login, pass } = await serving({ lockOut: { freeAttempts: 3, firstPause: '10s' } });
    const answers = [];
    for (const [name, password] of [
      ['Ada', 'guess number 1'],
      ['Nobody', 'guess number 2'],
      ['Ada', 'guess number 3'],
    ] as const)
      answers.push((await login(name, password)).body);
    expect(new Set(answers).size).toBe(1);
    expect((await login('Ada', PASSWORD)).statusCode).toBe(401);
    pass(11_000);
    expect((await login('Ada', PASSWORD)).statusCode).toBe(200);
  });

  it('takes so many requests of an address in a minute', async () => {
    const { app } = await serving({ requestsPerMinute: 10 });
    const codes = [];
    for (let i = 0; i < 12; i++) codes.push((await app.inject('/api/health')).statusCode);
    expect(codes).toEqual([...Array(10).fill(200), 429, 429]);
    expect((await app.inject('/api/health')).json()).toMatchObject({ code: 'API_TOO_MANY_REQUESTS' });
  });

  it('does not start where others reach it without TLS and operators, unless it is told to in words', () => {
    const messages = (http: object) => httpAccess.safeParse(http).error?.issues.map(({ message }) => message) ?? [];
    expect(messages({ host: '0.0.0.0' })).toEqual([expect.stringContaining('anybody there may decide')]);
    const operators = [{ name: 'Ada', password: PASSWORD }];
    expect(messages({ host: '10.0.0.5', operators })).toEqual([expect.stringContaining('in clear')]);
    expect(messages({ host: '10.0.0.5', operators, tls: { cert: 'c', key: 'k' } })).toEqual([]);
    expect(messages({ host: '::', allowInsecure: 'I trust everybody on this network' })).toEqual([]);
    expect(messages({ host: 'localhost' })).toEqual([]);
  });
});
