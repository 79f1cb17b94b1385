import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RoundView } from '@twinwatch/core/wire/http';
import { readSqliteFile } from '@twinwatch/twin-server/aggregator/testing/sqlite-file';
import { expect, it } from 'vitest';
import { openTestFederation } from './kills/federation.js';
import { Verifier } from './kills/verifier.js';

const AGENTS = 3;
const FROZEN = 'site-3';
/** The broker notices after one and a half keepalives of 10 s. */
const GOES_ON_WITHIN_MS = 30_000;

it('goes on without an agent that is frozen in a round, and records its late update without averaging it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'twinwatch-vanished-'));
  // Far longer than a keepalive: it is not the deadline that ends the waiting.
  const federation = await openTestFederation(folder, AGENTS, { deadline: '10m', releaseEvery: 0 });
  const verifier = new Verifier(folder, federation.agents);
  try {
    await federation.startBroker();
    const started = federation.step('the second round', ({ committed }) => committed >= 2);
    federation.startServer();
    for (const agent of federation.agents) federation.startAgent(agent);
    await started;

    federation.signal(FROZEN, 'SIGSTOP');
    const frozenAtMs = performance.now();
    const { committed } = federation.newest;
    // It may have answered the round that was going on, and the one that had begun meanwhile.
    await federation.step('rounds without it', (next) => next.committed >= committed + 3);
    const tookMs = performance.now() - frozenAtMs;
    console.log(`an agent froze in a round: ${(tookMs / 1_000).toFixed(1)} s until rounds went on without it`);
    expect(tookMs).toBeLessThan(GOES_ON_WITHIN_MS);

    const late = federation.step('its late update', ({ refused }) => refused);
    federation.signal(FROZEN, 'SIGCONT');
    await late;
    await federation.step('a round with it', () => lastRound(folder)?.accepted.includes(FROZEN) === true);

    // That every round is the mean of what it counted, among others.
    verifier.verify();
    const db = readSqliteFile(join(folder, 'server', 'server.db'));
    const refused = db.all<{ agent: string; verdict: string; round: number }>(
      'SELECT agent, verdict, round FROM rejections',
    );
    db.close();
    expect(refused).toContainEqual({ agent: FROZEN, verdict: 'stale-round', round: expect.any(Number) });
    const { round } = refused.find(({ verdict }) => verdict === 'stale-round')!;
    expect(viewOf(folder, round)?.asked).toContain(FROZEN);
    expect([...(viewOf(folder, round)?.accepted ?? [])].sort()).toEqual(
      federation.agents.filter((agent) => agent !== FROZEN),
    );
  } finally {
    federation.signal(FROZEN, 'SIGCONT');
    await federation.stopAll();
  }
  rmSync(folder, { recursive: true });
}, 240_000);

function viewOf(folder: string, round: number): RoundView | null {
  return view(folder, 'SELECT view FROM rounds WHERE round = ? ORDER BY attempt DESC LIMIT 1', round);
}

function lastRound(folder: string): RoundView | null {
  return view(folder, 'SELECT view FROM rounds ORDER BY round DESC, attempt DESC LIMIT 1');
}

function view(folder: string, query: string, ...values: number[]): RoundView | null {
  const db = readSqliteFile(join(folder, 'server', 'server.db'));
  try {
    const found = db.one<{ view: string }>(query, ...values);
    return found === undefined ? null : (JSON.parse(found.view) as RoundView);
  } finally {
    db.close();
  }
}
