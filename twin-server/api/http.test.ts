import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { httpAccess } from '@twinwatch/core/config/http-access';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { Timers } from '@twinwatch/core/runtime';
import {
  type AgentView,
  CHANGE_HEADER,
  historyPath,
  liftQuarantinePath,
  REGISTRY_PATH,
  type RegistryView,
  ROLLBACK_PATH,
  releaseModelPath,
  type ServerState,
} from '@twinwatch/core/wire/http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ChangeFeed } from './change-feed.js';
import { createApi, listen } from './http.js';
import { TelemetryHistory } from './telemetry-history.js';

const NO_DESK = {
  alarm: () => {
    throw new Error('nobody decides here');
  },
  label: () => {
    throw new Error('nobody decides here');
  },
  find: () => null,
};

const STATE: ServerState = {
  ...{ federation: 'test', phase: 'rounds', activity: 'round 1 of 2', progress: 0, roundsPlanned: 2 },
  ...{ agents: [], rounds: [], model: null, alarms: [], decisions: [], refusedMessages: [], registry: null },
};

describe('API', () => {
  const changes = new ChangeFeed();
  const dashboardDir = mkdtempSync(join(tmpdir(), 'twinwatch-page-'));
  writeFileSync(join(dashboardDir, 'index.html'), '<title>page</title>');
  let beat: () => void = () => undefined;
  const timers: Timers = {
    sleep: () => new Promise(() => undefined),
    after(_name, _ms, callback) {
      beat = callback;
      return () => undefined;
    },
  };
  const model = (version: string) => (version === 'v1-r2' ? Uint8Array.of(8, 9) : null);
  const lifted: string[] = [];
  const liftQuarantine = (id: string, by: string): AgentView => {
    if (id !== 'site-1') throw new TwinwatchError('API_UNKNOWN_AGENT', `there is no agent '${id}'`);
    lifted.push(by);
    return {
      ...{ id, status: null, eligibleRows: 0, lastRound: null, rejectedUpdates: 3, quarantine: null },
      lastTelemetry: null,
    };
  };
  const registry: RegistryView = { current: 'v2', candidate: null, models: [] };
  const asked: unknown[] = [];
  const models = {
    view: () => registry,
    release(version: string, by: string) {
      if (version !== 'v1') throw new TwinwatchError('API_UNKNOWN_MODEL', `there is no model '${version}'`);
      asked.push([version, by]);
      return registry;
    },
    rollback(version: string | null, by: string, reason: string) {
      asked.push([version, by, reason]);
      return registry;
    },
  };
  const history = new TelemetryHistory();
  const given = {
    ...{
      state: () => STATE,
      changes,
      history,
      model,
      timers,
      desk: NO_DESK,
      liftQuarantine,
      models,
      certificate: null,
    },
    ...{ http: httpAccess.parse({}), clock: { monotonic: () => performance.now() } },
  };
  const api = createApi({ ...given, dashboardDir });
  let port = 0;
  beforeAll(async () => {
    port = await listen(await api, '127.0.0.1', 0);
  });
  afterAll(async () => {
    await (await api).close();
    rmSync(dashboardDir, { recursive: true });
  });

  it('shows the registry, releases and rolls back for who says who they are', async () => {
    const app = await api;
    const post = (url: string, payload: object) =>
      app.inject({
        method: 'POST',
        url,
        payload,
        headers: { 'content-type': 'application/json', host: '127.0.0.1', [CHANGE_HEADER.name]: CHANGE_HEADER.value },
      });
    expect((await app.inject(REGISTRY_PATH)).json()).toEqual(registry);
    expect((await post(releaseModelPath('v1'), { by: 'Ada' })).json()).toEqual(registry);
    expect((await post(ROLLBACK_PATH, { by: 'Ada', version: 'v1', reason: 'false alarms' })).statusCode).toBe(200);
    expect((await post(ROLLBACK_PATH, { by: 'Ada' })).statusCode).toBe(200);
    expect((await post(releaseModelPath('v9'), { by: 'Ada' })).statusCode).toBe(404);
    expect((await post(releaseModelPath('v1'), {})).statusCode).toBe(400);
    expect((await app.inject({ method: 'POST', url: ROLLBACK_PATH, payload: { by: 'Eve' } })).statusCode).toBe(403);
    expect(asked).toEqual([
      ['v1', 'Ada'],
      ['v1', 'Ada', 'false alarms'],
      [null, 'Ada', 'no reason was given'],
    ]);
  });

  it('tells its state and health, with headers that keep other sites out', async () => {
    const app = await api;
    const state = await app.inject('/api/state');
    expect(state.json()).toEqual(STATE);
    expect(state.headers).toMatchObject({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
    expect(state.headers['content-security-policy']).toContain("default-src 'self'");
    expect(state.headers['access-control-allow-origin']).toBeUndefined();
    expect((await app.inject('/api/health')).json()).toEqual({
      status: 'ok',
      phase: 'rounds',
      activity: 'round 1 of 2',
    });
  });

  it('tells its rounds to Prometheus', async () => {
    const answer = await (await api).inject('/metrics');
    expect(answer.headers['content-type']).toContain('text/plain; version=0.0.4');
    expect(answer.body).toContain('\ntwinwatch_round 0\n');
  });

  it('gives models as attachments, and the page', async () => {
    const app = await api;
    const found = await app.inject('/api/models/v1-r2.onnx');
    expect([...found.rawPayload]).toEqual([8, 9]);
    expect(found.headers['content-disposition']).toBe('attachment; filename="v1-r2.onnx"');
    expect((await app.inject('/api/models/v9.onnx')).statusCode).toBe(404);
    expect((await app.inject('/')).body).toContain('<title>page');
    expect((await app.inject('/../package.json')).statusCode).toBe(404);
    expect((await app.inject({ method: 'POST', url: '/api/state' })).statusCode).toBe(403);
  });

  it('lifts a quarantine for whoever says who they are, and for no page of another site', async () => {
    const app = await api;
    const lift = (id: string, payload: object, headers = {}) =>
      app.inject({ method: 'POST', url: liftQuarantinePath(id), payload, headers });
    const own = { [CHANGE_HEADER.name]: CHANGE_HEADER.value };
    const done = await lift('site-1', { by: 'Ada' }, own);
    expect([done.statusCode, done.json()]).toMatchObject([200, { id: 'site-1', quarantine: null }]);
    expect((await lift('site-9', { by: 'Ada' }, own)).json()).toMatchObject({ code: 'API_UNKNOWN_AGENT' });
    expect((await lift('site-1', {}, own)).json()).toMatchObject({ code: 'API_REQUEST_INVALID' });
    expect((await lift('site-1', { by: 'Eve' })).json()).toMatchObject({ code: 'API_CROSS_SITE' });
    expect(lifted).toEqual(['Ada']);
  });

  it('answers no page whose own name was pointed at this machine, and over TLS whoever uses its name', async () => {
    const app = await api;
    for (const url of ['/api/state', '/%61pi/state', '/api/events', '/api/models/v1-r2.onnx']) {
      const { statusCode, json } = await app.inject({ url, headers: { host: 'evil.example:8080' } });
      expect([url, statusCode, json().code]).toEqual([url, 403, 'API_CROSS_SITE']);
    }
    for (const host of ['localhost:8080', '127.0.0.1:8080', '[::1]:8080', '10.0.0.5'])
      expect((await app.inject({ url: '/api/state', headers: { host } })).statusCode).toBe(200);
    const tls = { cert: 'c', key: 'k' };
    const overTls = await createApi({ ...given, dashboardDir, http: httpAccess.parse({ host: '127.0.0.1', tls }) });
    const named = { host: 'plant-server:8080', [CHANGE_HEADER.name]: CHANGE_HEADER.value };
    expect((await overTls.inject({ url: '/api/state', headers: named })).statusCode).toBe(200);
    const lift = (headers: object) =>
      overTls.inject({
        method: 'POST',
        url: liftQuarantinePath('site-1'),
        payload: { by: 'Tom' },
        headers: { ...headers },
      });
    expect((await lift({ ...named, origin: 'https://evil.example' })).statusCode).toBe(403);
    expect((await lift({ ...named, origin: 'https://plant-server:8080' })).statusCode).toBe(200);
    await overTls.close();
    lifted.pop();
  });

  it('streams the whole state, then what changes, and a sign of life', async () => {
    const received: string[] = [];
    const waiting: { text: string; resolve: () => void }[] = [];
    const saw = (text: string) =>
      new Promise<void>((resolve) => {
        if (received.join('').includes(text)) resolve();
        else waiting.push({ text, resolve });
      });
    const value = { L_T1: { value: 2.5, quality: 'good' } };
    history.add('site-1', { atMs: 7, score: 0.25, values: value });
    const stream = request({ port, path: '/api/events' }, (response) => {
      expect(response.headers['content-type']).toBe('text/event-stream');
      response.on('data', (data: Buffer) => {
        received.push(data.toString());
        for (const { text, resolve } of waiting) if (received.join('').includes(text)) resolve();
      });
      response.on('error', () => undefined);
    });
    stream.on('error', () => undefined);
    stream.end();
    await saw(
      `event: state\ndata: ${JSON.stringify(STATE)}\n\nevent: history\ndata: {"site-1":{"atMs":[7],"score":[0.25]}}\n\n`,
    );
    const whole = await (await api).inject({ url: historyPath('site-1'), headers: { host: '127.0.0.1' } });
    expect(whole.json()).toEqual({ atMs: [7], score: [0.25], values: { L_T1: [2.5] } });
    changes.publish('phase', { phase: 'finished', activity: 'done', progress: 1 });
    await saw('event: phase\ndata: {"phase":"finished","activity":"done","progress":1}\n\n');
    beat();
    await saw(': still here');
    stream.destroy();
  });

  it('says which port is taken', async () => {
    const second = await createApi({ ...given, dashboardDir: '/nowhere' });
    await expect(listen(second, '127.0.0.1', port)).rejects.toMatchObject({
      code: 'API_PORT_BUSY',
      message: expect.stringContaining(String(port)),
    });
    await second.close();
  });
});
