import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RegistryView, ServerState } from '@twinwatch/core/wire/http';
import { type BrowserContext, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { agent, alarmEvent, demoState, round, START_MS, telemetry } from './demo-federation.js';
import { type PageServer, startPageServer } from './page-server.js';

const PAGE_DIR = fileURLToPath(new URL('../../../dashboard/dist', import.meta.url));
const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
if (CHROMIUM === undefined)
  console.warn('The page is not tested: no Chromium found in /usr/bin (apt-get install chromium).');

describe.skipIf(CHROMIUM === undefined)('the page in Chromium', { timeout: 30_000 }, () => {
  let profile: string;
  let browser: BrowserContext;
  let page: Page;
  let server: PageServer;
  let shown: ServerState;
  const faults: string[] = [];

  beforeAll(async () => {
    if (!existsSync(join(PAGE_DIR, 'index.html'))) throw new Error(`${PAGE_DIR} is not built; run: npm run build`);
    profile = await mkdtemp(join(tmpdir(), 'twinwatch-page-'));
    browser = await chromium.launchPersistentContext(profile, {
      executablePath: CHROMIUM!,
      viewport: { width: 1280, height: 800 },
      timezoneId: 'UTC',
      args: [
        '--headless',
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    });
  }, 60_000);

  afterAll(async () => {
    await browser?.close();
    await rm(profile, { recursive: true, force: true });
  });

  beforeEach(async () => {
    faults.length = 0;
    shown = demoState();
    server = await startPageServer(PAGE_DIR, () => shown);
    page = await browser.newPage();
    page.on('pageerror', (error) => faults.push(String(error)));
    page.on('request', (request) => {
      if (!request.url().startsWith(server.url) && !request.url().startsWith('data:')) faults.push(request.url());
    });
  });

  afterEach(async () => {
    await page.close();
    await server.close();
    expect(faults, 'errors of the page, or requests to elsewhere').toEqual([]);
  });

  const open = async () => {
    await page.goto(server.url);
    await page.getByText('Live', { exact: true }).waitFor();
  };
  const feed = (id: string, from: number, to: number) => {
    for (let index = from; index < to; index += 1) {
      server.send('telemetry', { agent: id, telemetry: telemetry(id, index) });
    }
  };

  it('shows federation, fleet, alarm, rounds and model', async () => {
    await open();
    expect(await page.title()).toBe('(1) demo · Twinwatch');
    expect(await page.getByTestId('activity').textContent()).toBe(shown.activity);
    expect(await page.getByTestId('alarm-count').textContent()).toBe('1 active alarm');
    expect(await page.locator('li[aria-current=step]').textContent()).toBe('Learn in rounds');

    expect(await rowWords(page, 'site-3')).toContain('Alarm');
    expect(await rowWords(page, 'site-4')).toContain('PLC3 fault');
    expect(await rowWords(page, 'site-5')).toMatch(/Offline.*m-000012.*behind/);
    expect(await rowWords(page, 'site-2')).toContain('1 rejected');

    const active = page.getByRole('list', { name: 'Active alarms' });
    expect(await active.textContent()).toMatch(/site-3.*raised 2026-03-07 21:00/);
    expect(await active.locator('tbody tr').first().textContent()).toBe('S_PU238 %off ');
    expect(await page.getByRole('region', { name: 'Cleared alarms' }).textContent()).toContain('5 Mar 15:30 – 20:00');

    const rounds = page.getByRole('region', { name: 'Table of rounds, newest first' });
    expect(await rounds.locator('[data-round]').count()).toBe(19);
    expect(await rounds.locator('.rejected').textContent()).toContain(
      'site-2 rejected, stale round: sent for round 16',
    );

    const model = page.getByTestId('model');
    expect(await model.textContent()).toMatch(/m-000018.*from round18.*threshold0\.620.*9f2c4e1ab07d/);
    const link = await model.getByRole('link', { name: 'Download ONNX' }).getAttribute('href');
    expect((await page.request.get(new URL(link!, server.url).href)).status()).toBe(200);
  });

  it('follows events: telemetry, a raised and cleared alarm, a round, an agent, a model, the phase', async () => {
    await open();
    feed('site-3', 0, 90);
    const site = page.getByTestId('site');
    await site.getByText('plant time 2026-03-07 22:15').waitFor();
    expect(await site.locator('[data-tag=L_T1]').textContent()).toMatch(/^L_T1 14 % of the alarm4\.53 m/);
    expect(await site.locator('[data-tag=S_PU2]').textContent()).toContain('off');
    expect(await darkPixels(page)).toBeGreaterThan(100);

    server.send('alarm', alarmEvent('site-2', 7, 1, 'raised', 90));
    await page.getByText('2 active alarms').waitFor();
    server.send('alarm', alarmEvent('site-2', 7, 2, 'cleared', 96));
    server.send('alarm', alarmEvent('site-3', 1, 2, 'cleared', 96));
    await page.getByText('No active alarm', { exact: true }).waitFor();
    expect(await page.getByRole('region', { name: 'Cleared alarms' }).locator('tr[data-alarm]').count()).toBe(3);

    // Nobody has chosen a site: the one that was alarmed last stays in view.
    await site.getByRole('heading', { name: /^site-2/ }).waitFor();

    server.send('round', { ...round(20), phase: 'committed' });
    await page.locator('[data-round="20"]').waitFor();
    server.send('model', { ...shown.model!, modelVersion: 'm-000020' });
    await page.getByTestId('model').getByText('m-000020').waitFor();
    expect(await rowWords(page, 'site-1')).toContain('behind');
    const view = agent('site-1', 0);
    server.send('agent', { ...view, status: { ...view.status!, modelVersion: 'm-000020' } });
    await page.locator('[data-agent=site-1]:not(:has-text("behind"))').waitFor();
    const reasons = [{ round: 19, verdict: 'too-large', detail: 'norm 88.1', atMs: 1 }];
    server.send('agent', { ...agent('site-2', 1), quarantine: { sinceMs: 1, reasons } });
    const why = page.locator('[data-agent=site-2] .tag', { hasText: 'Quarantine' });
    expect(await why.getAttribute('title')).toMatch(/^Not asked since .*\nround 19: too-large, norm 88\.1$/);
    server.send('agent', { ...agent('site-3', 2), unfit: 'upgrade agent site-3' });
    const unfit = page.locator('[data-agent=site-3] .tag', { hasText: 'Takes no part' });
    expect(await unfit.getAttribute('title')).toBe('upgrade agent site-3');
    const leftOut = [{ agent: 'site-4', detail: 'its cosine is -0.9' }];
    server.send('round', {
      ...round(21),
      phase: 'committed',
      rejected: [],
      leftOut,
      remarks: ['The median was taken'],
    });
    await page.getByText('site-4 left out of the average: its cosine is -0.9').waitFor();
    await page.getByText('The median was taken').waitFor();
    server.send('phase', { phase: 'finished', activity: 'Watching five sites', progress: null });
    await page.getByText('Watching five sites').waitFor();
    expect(await page.getByRole('progressbar').count()).toBe(0);
  });

  it('shows the last values at once when it is loaded again, of every site that is chosen', async () => {
    for (let index = 0; index < 60; index += 1)
      for (const id of ['site-2', 'site-3']) server.send('telemetry', { agent: id, telemetry: telemetry(id, index) });
    await open();
    // What every page is told at first is the newest row; the state of this test has none.
    const site = page.getByTestId('site');
    await page.locator('.score-plot').waitFor();
    await expect.poll(() => darkPixels(page)).toBeGreaterThan(100);
    const points = (tag: string) =>
      site.locator(`[data-tag=${tag}] path`).evaluate((path) => path.getAttribute('d')!.match(/[ML]/g)!.length);
    await expect.poll(() => points('L_T1')).toBe(60);
    await page.getByRole('button', { name: 'site-2', exact: true }).click();
    await site.getByRole('heading', { name: /^site-2/ }).waitFor();
    await expect.poll(() => points('F_PU1')).toBe(60);
    const line = page.locator('[data-agent=site-2] .sparkline path').last();
    expect((await line.getAttribute('d'))!.match(/[ML]/g)).toHaveLength(60);
  });

  it('lets a person choose a site by keyboard, and shows quality and faults', async () => {
    await open();
    feed('site-4', 0, 5);
    await page.getByRole('button', { name: 'site-4', exact: true }).focus();
    await page.keyboard.press('Enter');
    const site = page.getByTestId('site');
    await site.getByRole('heading', { name: /^site-4/ }).waitFor();
    expect(await page.getByRole('button', { name: 'site-4', exact: true }).getAttribute('aria-pressed')).toBe('true');
    expect(await site.getByText(/^ ?PLC3: /).textContent()).toContain('no answer within 1000 ms');
    expect(await site.locator('[data-tag=P_J27]').textContent()).toMatch(/— .*stale/);
    const last = telemetry('site-4', 5);
    const mode = { value: null, quality: 'good', text: '<b>MANUAL</b>' };
    server.send('telemetry', { agent: 'site-4', telemetry: { ...last, values: { ...last.values, mode } } });
    await site.locator('[data-tag=mode]').waitFor();
    expect(await site.locator('[data-tag=mode]').textContent()).toBe('mode<b>MANUAL</b>');

    feed('site-5', 0, 2);
    await page.getByRole('button', { name: 'site-5', exact: true }).click();
    await site.getByText('The site is offline: nothing below is live.').waitFor();
    expect(await site.getByRole('heading').textContent()).toContain('last values, from plant time 2026-03-07 00:15');
  });

  it('lets a person acknowledge, confirm and dismiss by keyboard, and says what was decided and what came of it', async () => {
    await open();
    const active = page.locator('[data-alarm="site-3:1"]');
    const press = async (name: RegExp) => {
      await page.getByRole('button', { name }).focus();
      await page.keyboard.press('Enter');
    };
    await press(/^Acknowledge alarm of site-3/);
    await active.getByRole('alert').waitFor();
    expect(await active.getByRole('alert').textContent()).toContain('Enter your name');
    expect(server.decisions).toEqual([]);
    // The field has the focus by now.
    await page.keyboard.type('Ada');
    await press(/^Acknowledge alarm of site-3/);
    await active.getByText('Acknowledged by Ada; site-3 has not taken it yet').waitFor();
    await press(/^Dismiss alarm of site-3/);
    await active.getByText('Dismissed as a false alarm by Ada; site-3 has not taken it yet').waitFor();
    expect(server.decisions.map(({ action, by }) => `${action} ${by}`)).toEqual(['acknowledge Ada', 'dismiss Ada']);
    const answer = { verdict: 'done', detail: '', rows: 24 } as const;
    server.send('decision', { ...server.decisions[1]!, answer });
    await active.getByText('Dismissed as a false alarm by Ada: 24 rows are learned as normal').waitFor();
    const dismissing = page.getByRole('button', { name: /^Dismiss alarm of site-3/ });
    expect(await dismissing.getAttribute('aria-pressed')).toBe('true');
    // A mind may be changed, for an alarm that is over as well; the name is remembered.
    await page.reload();
    await page.getByText('Live', { exact: true }).waitFor();
    await press(/^Confirm alarm of site-1/);
    await page.getByText('Confirmed as an attack by Ada; site-1 has not taken it yet').waitFor();
    await page.getByLabel('Decide as').fill('nobody');
    await press(/^Dismiss alarm of site-1/);
    await page.getByText("Refused: there is no alarm 'site-1:1' here").waitFor();
    expect(await faintTexts(page)).toEqual([]);
  });

  it('keeps of an alarm that is over when, how long, how high, which tags, and who decided what', async () => {
    shown = {
      ...shown,
      alarms: [...shown.alarms, { ...alarmEvent('site-1', 1, 3, 'cleared', -112), peakScore: 0.987 }],
    };
    await open();
    const opening = page.getByRole('button', { name: /^Details of the alarm of site-1, 5 Mar 15:30 – 20:00/ });
    await opening.focus();
    await page.keyboard.press('Enter');
    const details = page.getByTestId('alarm-details');
    expect(await details.textContent()).toMatch(/raised2026-03-05 15:30cleared2026-03-05 20:00/);
    expect(await details.textContent()).toContain('Score 0.920 over the threshold 0.620, later up to 0.987');
    expect(await details.locator('tbody tr').count()).toBe(4);
    expect(await details.textContent()).toContain('Nobody acknowledged it');
    const made = { commandId: 'c9', agent: 'site-1', alarmId: 'site-1:1', range: null, shelveMs: null, by: 'Ada' };
    const atMs = Date.UTC(2026, 10, 24, 12, 5);
    server.send('decision', { ...made, action: 'acknowledge', atMs, answer: { verdict: 'done', detail: '', rows: 0 } });
    await details.getByText('2026-11-24 12:05 Acknowledged by Ada').waitFor();
    expect(await faintTexts(page)).toEqual([]);
    await opening.waitFor({ state: 'visible' });
    await page.keyboard.press('Enter');
    await details.waitFor({ state: 'detached' });
  });

  it('says of values that do not come whose they are and since when, and lets a person acknowledge that, not judge it', async () => {
    await open();
    await page.getByLabel('Decide as').fill('Ada');
    const silent = (transition: 'raised' | 'acknowledged' | 'cleared', number: number, row: number) => ({
      ...alarmEvent('site-2', 0, number, transition, row),
      ...{ eventId: `site-2:c4:${number}`, alarmId: 'site-2:c4', score: 0, threshold: 0, contributions: [] },
      communication: {
        ...{ tags: number === 1 ? ['L_T2', 'F_PU3'] : [], devices: number === 1 ? ['PLC2'] : [] },
        ...(number === 1 ? { sinceMs: START_MS + 80 * 900_000 } : {}),
        reason: number === 1 ? 'MODBUS_TIMEOUT: unit 2 did not answer' : '',
      },
    });
    server.send('alarm', silent('raised', 1, 83));
    const active = page.locator('[data-alarm="site-2:c4"]');
    await active.waitFor();
    const words = (await active.textContent())!;
    expect(words).toContain('No good values of PLC2: 2 tags since 2026-03-07 20:00');
    expect(words).toContain('MODBUS_TIMEOUT: unit 2 did not answer');
    expect(words).toMatch(/L_T2.*F_PU3/);
    expect(words).not.toMatch(/[Ss]core|threshold|moved|Decided/);
    expect(await active.getByRole('button', { name: /alarm of/ }).allTextContents()).toEqual(['Acknowledge']);
    expect(await rowWords(page, 'site-2')).toContain('No values');
    await active.getByRole('button', { name: /^Acknowledge alarm of site-2/ }).click();
    await active.getByText('Acknowledged by Ada; site-2 has not taken it yet').waitFor();
    server.send('alarm', silent('acknowledged', 2, 84));
    await active.getByText('acknowledged', { exact: true }).waitFor();
    expect(await faintTexts(page)).toEqual([]);
    server.send('alarm', silent('cleared', 3, 90));
    const past = page.getByRole('region', { name: 'Cleared alarms' }).locator('[data-alarm="site-2:c4"]');
    await past.getByText('No good values of PLC2: 2 tags').waitFor();
    expect(server.decisions.map(({ alarmId, action }) => [alarmId, action])).toEqual([['site-2:c4', 'acknowledge']]);
  });

  it('shows where a model on trial is and why, what was refused, and which certificates are to be renewed', async () => {
    const dayMs = 86_400_000;
    const trial = { ...shown.model!, modelVersion: 'm-000019', stage: 'canary', reason: 'it runs on 2 of 5 agents' };
    const current = { ...shown.model!, stage: 'released', reason: 'the first one' };
    const told = {
      stage: 'canary',
      sinceMs: 1,
      agents: ['site-1', 'site-4'],
      told: 1,
      rows: 480,
      reason: trial.reason,
    };
    const registry = (newest: object, candidate: object | null) =>
      ({
        current: current.modelVersion,
        candidate,
        models: [newest, current].map((one) => ({ sinceMs: 1, gates: [], ...one })),
      }) as unknown as RegistryView;
    const rates = { falseRate: 0.01, currentFalseRate: 0.01, bound: 0.02 };
    shown = { ...shown, registry: registry(trial, { modelVersion: 'm-000019', ...told, ...rates }) };
    await open();
    const panel = page.getByTestId('candidate');
    expect(await panel.textContent()).toBe(
      'on trialm-000019statecanarytold1 of 2 sites, 480 rowswhyit runs on 2 of 5 agents',
    );
    const waits = { ...registry(trial, { modelVersion: 'm-000019', ...told, ...rates }) };
    const waiting = {
      ...waits.models[0]!,
      modelVersion: 'm-000020',
      stage: 'waiting' as const,
      reason: 'its turn comes',
    };
    server.send('registry', { ...waits, models: [waiting, ...waits.models] });
    await panel.getByText('m-000020').waitFor();
    expect(await panel.textContent()).toMatch(/^on trialm-000019statecanary.*2 of 5 agentswaitingm-000020$/);
    const refusedModel = { ...trial, stage: 'refused', reason: 'it does not run on site-4' };
    server.send('registry', registry(refusedModel, null));
    await panel.getByText('it does not run on site-4').waitFor();
    expect(await panel.textContent()).toMatch(/^newestm-000019staterefusedwhy/);
    server.send('registry', registry({ ...trial, stage: 'released' }, null));
    await panel.waitFor({ state: 'detached' });

    expect((await page.getByTestId('refused').count()) + (await page.getByTestId('certificates').count())).toBe(0);
    const last = { code: 'WIRE_REPLAYED', detail: 'not newer', atMs: START_MS };
    server.send('refused', [{ sender: 'site-2', count: 3, byCode: { WIRE_REPLAYED: 3 }, last }]);
    await page.getByTestId('refused').getByText('3, last 2026').waitFor();
    const ends = (holder: string, notAfterMs: number | null, isAgent = true) => ({ holder, isAgent, notAfterMs });
    server.send('certificates', [
      ends('site-1', Date.now() + 20 * dayMs),
      ends('site-2', Date.now() + 40 * dayMs),
      ends('broker', Date.now() - dayMs, false),
      ends('site-3', null),
    ]);
    const certificates = page.getByTestId('certificates');
    await certificates.waitFor();
    expect(await certificates.textContent()).toMatch(
      /^Certificates to renewagent site-3its file is damaged; it is not believedbrokerended \d.*agent site-1ends \d[^a-z]*$/,
    );
  });

  it('says when the connection is lost, keeps what it had, and comes back by itself', async () => {
    await open();
    const { port } = server;
    await server.close();
    await page.getByRole('alert').waitFor();
    expect(await page.getByRole('alert').textContent()).toMatch(/lost at \d\d:\d\d:\d\d/);
    expect(await page.locator('[data-agent]').count()).toBe(5);
    shown = { ...demoState(), activity: 'Back again' };
    server = await startPageServer(PAGE_DIR, () => shown, port);
    await page.getByText('Back again').waitFor();
    expect(await page.getByRole('alert').count()).toBe(0);
  });

  it('asks operators who they are, decides under that name, and asks again once they have gone', async () => {
    const guarded = await startPageServer(PAGE_DIR, () => shown, 0, {
      operators: [{ name: 'Ada', password: 'correct horse' }],
    });
    try {
      await page.goto(guarded.url);
      await page.getByLabel('Name').fill('Ada');
      await page.getByLabel('Password').fill('wrong horse');
      await page.getByRole('button', { name: 'Log in' }).click();
      await page.getByRole('alert').getByText('name or password are wrong').waitFor();
      expect(await faintTexts(page)).toEqual([]);
      await page.getByLabel('Password').fill('correct horse');
      await page.getByRole('button', { name: 'Log in' }).click();
      await page
        .getByRole('button', { name: /Acknowledge/ })
        .first()
        .click();
      await expect.poll(() => guarded.decisions.map(({ by }) => by)).toEqual(['Ada']);
      await page.getByRole('button', { name: 'Log out' }).click();
      await page.getByLabel('Password').waitFor();
    } finally {
      faults.length = 0;
      await guarded.close();
    }
  });

  it('says what is waited for where there is nothing yet', async () => {
    shown = {
      ...demoState(),
      phase: 'waiting-for-agents',
      activity: 'Waiting for 3 sites',
      progress: null,
      agents: [],
      rounds: [],
      model: null,
      alarms: [],
    };
    await open();
    const titles = await page.locator('.empty-title').allTextContents();
    expect(titles).toEqual([
      'No alarm so far.',
      'No site has joined yet.',
      'No site to show.',
      'No round yet.',
      'No detector released yet.',
    ]);
    await page.getByText('it appears here when it says hello').waitFor();
    server.send('phase', { phase: 'simulating-twin', activity: 'simulating the twin', progress: 1 });
    await page.getByText('The server listens to sites once its twin is ready').waitFor();
    const { height } = (await page.locator('.percent').boundingBox())!;
    expect(height, '100 % is on one line').toBeLessThan(30);
  });

  it.each([
    ['light', 1280],
    ['dark', 1280],
    ['light', 390],
  ] as const)(
    'is legible in %s at %i px: no sideways scrolling, contrast of at least 4.5',
    async (colorScheme, width) => {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 800 });
      await open();
      feed('site-3', 60, 90);
      await page.locator('[data-tag=L_T1]').waitFor();
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
      expect(await faintTexts(page)).toEqual([]);
    },
  );
});

async function rowWords(page: Page, id: string): Promise<string> {
  return (await page.locator(`[data-agent="${id}"]`).textContent()) ?? '';
}

/** Pixels of the score plot that are not transparent: something is drawn. */
function darkPixels(page: Page): Promise<number> {
  return page.evaluate(() => {
    const canvas = document.querySelector<HTMLCanvasElement>('.score-plot canvas')!;
    const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height);
    return data.filter((value, index) => index % 4 === 3 && value > 0).length;
  });
}

/** Texts whose contrast with the ground behind them is below WCAG AA, as 'text ratio'. */
function faintTexts(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const numbers = (colour: string) => (colour.match(/[\d.]+/g) ?? []).map(Number);
    const luminance = (rgb: number[]) => {
      const [r, g, b] = rgb.slice(0, 3).map((value) => {
        const share = value / 255;
        return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
    };
    const ground = (element: Element | null): number[] => {
      for (let at = element; at !== null; at = at.parentElement) {
        const colour = numbers(getComputedStyle(at).backgroundColor);
        if (colour.length === 3) return colour;
      }
      return [255, 255, 255];
    };
    const faint: string[] = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const text = walker.currentNode.textContent?.trim() ?? '';
      const element = walker.currentNode.parentElement!;
      if (text === '' || ['NOSCRIPT', 'SCRIPT', 'STYLE'].includes(element.tagName)) continue;
      const pair = [numbers(getComputedStyle(element).color), ground(element)].map(luminance).sort((a, b) => b - a);
      const ratio = (pair[0]! + 0.05) / (pair[1]! + 0.05);
      if (ratio < 4.5) faint.push(`${text} ${ratio.toFixed(2)}`);
    }
    return faint;
  });
}
