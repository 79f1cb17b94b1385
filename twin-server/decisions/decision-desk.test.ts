import { httpAccess } from '@twinwatch/core/config/http-access';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import type { AlarmCommand, CommandReceipt, LabelCommand } from '@twinwatch/core/wire/commands';
import { CHANGE_HEADER, type DecisionView } from '@twinwatch/core/wire/http';
import Fastify from 'fastify';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Journal } from '../aggregator/journal.js';
import { openJournal } from '../aggregator/sqlite-journal.js';
import { guardAccess } from '../api/access.js';
import { decisionRoutes } from '../api/decision-routes.js';
import { DecisionDesk } from './decision-desk.js';

const ALARM: AlarmEvent = {
  ...{ eventId: 'site-1:10:1', alarmId: 'site-1:10', agent: 'site-1', transition: 'raised', atMs: 5, score: 0.9 },
  ...{ threshold: 0.5, modelVersion: 'v1', contributions: [], latencyMs: 1 },
};
const allowInsecure = 'I trust everybody on this network';
const HEADERS = { 'content-type': 'application/json', [CHANGE_HEADER.name]: CHANGE_HEADER.value };

describe('decisions over HTTP', () => {
  let journal: Journal;
  let desk: DecisionDesk;
  let app: ReturnType<typeof Fastify>;
  let sent: (AlarmCommand | LabelCommand)[];
  let told: DecisionView[];

  beforeEach(async () => {
    journal = openJournal(':memory:');
    journal.putAlarm(ALARM);
    const communication = { tags: ['T'], reason: 'MODBUS_TIMEOUT', devices: ['PLC'], sinceMs: 4 };
    journal.putAlarm({ ...ALARM, eventId: 'site-1:c7:1', alarmId: 'site-1:c7', communication });
    sent = [];
    told = [];
    let ids = 0;
    desk = new DecisionDesk({
      ...{ journal, now: () => 1_000, newId: () => `new-${++ids}`, isAgent: (id) => id === 'site-1' },
      send: (_agent, command) => sent.push(command),
      onDecision: (decision) => told.push(decision),
    });
    app = Fastify();
    await guardAccess(app, {
      http: httpAccess.parse({ host: 'twin.example', allowInsecure }),
      clock: { monotonic: () => 0 },
    });
    await app.register(decisionRoutes, { desk });
  });
  afterEach(async () => {
    await app.close();
    journal.close();
  });

  const post = (url: string, body: unknown, headers: Record<string, string> = {}) =>
    app.inject({ method: 'POST', url, payload: JSON.stringify(body), headers: { ...HEADERS, ...headers } });
  const dismiss = '/api/alarms/site-1%3A10/dismiss';
  const receipt = (commandId: string, verdict: CommandReceipt['verdict'] = 'done'): CommandReceipt => ({
    ...{ kind: 'command-receipt', commandId, verdict, detail: '', rows: 4 },
  });

  it('sends that somebody looks after values that do not come', async () => {
    const response = await post('/api/alarms/site-1%3Ac7/acknowledge', { by: 'Ada' });
    expect(response.statusCode).toBe(202);
    expect(sent).toMatchObject([{ action: 'acknowledge', alarmId: 'site-1:c7' }]);
  });

  it('journals, then sends, and keeps as waiting until the agent has answered', async () => {
    const response = await post(dismiss, { by: ' Ada ' });
    expect(response.statusCode).toBe(202);
    const view = response.json() as DecisionView;
    expect(view).toMatchObject({ commandId: 'new-1', agent: 'site-1', action: 'dismiss', by: 'Ada', answer: null });
    expect(sent).toEqual(desk.waiting('site-1'));
    expect(sent).toEqual([
      {
        ...{ kind: 'alarm-command', commandId: 'new-1', by: 'Ada', decidedAtMs: 1_000, action: 'dismiss' },
        ...{ alarmId: 'site-1:10', shelveMs: null },
      },
    ]);
    expect(desk.answered('site-2', receipt('new-1'))).toBe(false);
    expect(desk.answered('site-1', receipt('new-1'))).toBe(true);
    expect(desk.answered('site-1', receipt('new-1'))).toBe(false);
    expect(desk.waiting('site-1')).toEqual([]);
    const found = await app.inject('/api/decisions/new-1');
    expect(found.json()).toEqual({ ...view, answer: { verdict: 'done', detail: '', rows: 4 } });
    expect(told).toEqual([view, found.json()]);
    expect((await app.inject('/api/decisions/other')).statusCode).toBe(404);
  });

  it('takes a decision once by its command id, and gives each a later time than the one before', async () => {
    const asked = { by: 'Ada', commandId: 'mine' };
    const first = await post(dismiss, asked);
    expect((await post(dismiss, asked)).json()).toEqual(first.json());
    expect(sent).toHaveLength(1);
    const other = await post('/api/alarms/site-1%3A10/confirm', asked);
    expect([other.statusCode, other.json().code]).toEqual([409, 'API_COMMAND_REUSED']);
    await post('/api/alarms/site-1%3A10/shelve', { by: 'Ada', shelveMs: 60_000 });
    await post('/api/agents/site-1/labels', { by: 'Ada', fromMs: 1, toMs: 2, label: 'anomalous' });
    expect(sent.map(({ decidedAtMs }) => decidedAtMs)).toEqual([1_000, 1_001, 1_002]);
    expect(sent[1]).toMatchObject({ action: 'shelve', shelveMs: 60_000 });
    expect(sent[2]).toMatchObject({ kind: 'label-command', fromMs: 1, toMs: 2, label: 'anomalous' });
    // Acknowledging changes no row's label.
    await post('/api/alarms/site-1%3A10/acknowledge', { by: 'Ada', commandId: 'seen' });
    expect(desk.answered('site-1', receipt('seen'))).toBe(false);
    expect(desk.answered('site-1', receipt('mine', 'unchanged'))).toBe(false);
  });

  it.each([
    ['an alarm that is not there', '/api/alarms/site-1%3A1/dismiss', { by: 'Ada' }, 404, 'API_UNKNOWN_ALARM'],
    ['another action', '/api/alarms/site-1%3A10/silence', { by: 'Ada' }, 400, 'API_REQUEST_INVALID'],
    ['judging values that do not come', '/api/alarms/site-1%3Ac7/confirm', { by: 'Ada' }, 400, 'API_REQUEST_INVALID'],
    ['nobody', dismiss, { by: ' ' }, 400, 'API_REQUEST_INVALID'],
    ['a field too many', dismiss, { by: 'Ada', alarm: 1 }, 400, 'API_REQUEST_INVALID'],
    ['shelving for ever', '/api/alarms/site-1%3A10/shelve', { by: 'Ada' }, 400, 'API_REQUEST_INVALID'],
    [
      'an unknown agent',
      '/api/agents/site-9/labels',
      { by: 'Ada', fromMs: 1, toMs: 2, label: 'normal' },
      404,
      'API_UNKNOWN_AGENT',
    ],
    [
      'an end before its beginning',
      '/api/agents/site-1/labels',
      { by: 'Ada', fromMs: 3, toMs: 2, label: 'normal' },
      400,
      'API_REQUEST_INVALID',
    ],
  ])('refuses %s', async (_what, url, body, status, code) => {
    const response = await post(url, body);
    expect([response.statusCode, response.json().code]).toEqual([status, code]);
    expect(journal.decisions(9)).toEqual([]);
  });

  it.each([
    ['a form’s content type', { 'content-type': 'text/plain' }],
    ['no header of ours', { [CHANGE_HEADER.name]: '' }],
    ['the page of another site', { origin: 'http://evil.example' }],
    ['a page without an origin', { origin: 'null' }],
    ['another port of this machine', { host: 'localhost:8080', origin: 'http://localhost:9090' }],
    ['a name that was pointed here', { host: 'evil.example:8080', origin: 'http://evil.example:8080' }],
    ['a host that is none', { host: 'a b' }],
  ])('refuses what comes with %s', async (_what, headers) => {
    const response = await post(dismiss, { by: 'Ada' }, headers);
    expect([response.statusCode, response.json().code]).toEqual([403, 'API_CROSS_SITE']);
    expect(journal.decisions(9)).toEqual([]);
  });

  it.each([
    { host: '127.0.0.1:8080', origin: 'http://127.0.0.1:8080' },
    { host: '[::1]:8080', origin: 'http://[::1]:8080' },
    { host: 'localhost:8080' },
    { host: 'Twin.example', origin: 'https://twin.example' },
    { host: '192.168.1.5:8080', 'content-type': 'application/json; charset=utf-8' },
  ])('takes %j', async (headers) => {
    expect((await post(dismiss, { by: 'Ada' }, headers)).statusCode).toBe(202);
  });

  it('keeps a bound on what waits for an agent that never answers', async () => {
    for (let i = 0; i < 1_000; i++) desk.alarm('site-1:10', 'acknowledge', { by: 'Ada', commandId: `c${i}` });
    expect((await post(dismiss, { by: 'Ada' })).json().code).toBe('API_TOO_MANY_WAITING');
  });
});
