import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { download } from './download.js';
import { BATADAL_FILES, type PinnedFile } from './pinned-files.js';

const CONTENT = Buffer.from('DATETIME,L_T1\n'.repeat(5_000));
const SHA256 = createHash('sha256').update(CONTENT).digest('hex');

let out: string;
let server: Server | null = null;
let ranges: (string | undefined)[] = [];
let said: string[] = [];

beforeEach(async () => {
  out = await mkdtemp(join(tmpdir(), 'fetch-data-'));
  ranges = [];
  said = [];
});

afterEach(async () => {
  server?.closeAllConnections();
  server?.close();
  server = null;
  await rm(out, { recursive: true });
});

async function serve(answer: RequestListener): Promise<PinnedFile> {
  const listening = createServer((request, response) => {
    ranges.push(request.headers.range);
    answer(request, response);
  });
  server = listening;
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  const { port } = listening.address() as AddressInfo;
  return { name: 'rows.csv', url: `http://127.0.0.1:${port}/rows.csv`, sha256: SHA256, about: 'rows' };
}

const run = (file: PinnedFile) =>
  download({ files: [file], out, signal: new AbortController().signal, say: (line) => said.push(line) });

const honest: RequestListener = (request, response) => {
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  response.writeHead(start > 0 ? 206 : 200).end(CONTENT.subarray(start));
};

it('fetches a file once', async () => {
  const file = await serve(honest);
  await run(file);
  await run(file);
  expect(await readFile(join(out, 'rows.csv'))).toEqual(CONTENT);
  expect(ranges).toEqual([undefined]);
  expect(said[1]).toMatch(/already there/);
});

it('goes on where an earlier run stopped', async () => {
  const file = await serve(honest);
  await writeFile(join(out, 'rows.csv.part'), CONTENT.subarray(0, 1_000));
  await run(file);
  expect(ranges).toEqual(['bytes=1000-']);
  expect(await readdir(out)).toEqual(['rows.csv']);
});

it('goes on by itself when the connection breaks', async () => {
  const file = await serve((request, response) => {
    if (ranges.length > 1) return honest(request, response);
    response.writeHead(200, { 'content-length': CONTENT.length });
    response.write(CONTENT.subarray(0, 20_000), () => response.socket?.end());
  });
  await run(file);
  expect(ranges).toHaveLength(2);
  expect(await readFile(join(out, 'rows.csv'))).toEqual(CONTENT);
});

it('starts over where the server cannot continue', async () => {
  const file = await serve((_, response) => response.writeHead(200).end(CONTENT));
  await writeFile(join(out, 'rows.csv.part'), 'something else');
  await run(file);
  expect(await readFile(join(out, 'rows.csv'))).toEqual(CONTENT);
});

it('keeps nothing of a file with another content', async () => {
  const file = await serve((_, response) => response.writeHead(200).end('<html>log in to this network</html>'));
  await expect(run(file)).rejects.toMatchObject({ code: 'FETCH_MISMATCH' });
  expect(await readdir(out)).toEqual([]);
});

it("leaves a user's own file of that name alone", async () => {
  const file = await serve(honest);
  await writeFile(join(out, 'rows.csv'), 'mine');
  await expect(run(file)).rejects.toMatchObject({ code: 'FETCH_MISMATCH' });
  expect(await readFile(join(out, 'rows.csv'), 'utf8')).toBe('mine');
  expect(ranges).toEqual([]);
});

it('says what to do without a network', async () => {
  const file = await serve(honest);
  server?.close();
  const failed = expect(run(file)).rejects;
  await failed.toMatchObject({ code: 'FETCH_UNREACHABLE', retryable: true });
  await expect(run(file)).rejects.toThrow(/ECONNREFUSED.*run the command again.*rows\.csv/);
});

it('says so where the publisher has it no longer', async () => {
  const file = await serve((_, response) => response.writeHead(404).end());
  await expect(run(file)).rejects.toMatchObject({ code: 'FETCH_REFUSED', context: { status: 404 } });
});

it('pins every published file by commit and content', () => {
  for (const { url, sha256 } of BATADAL_FILES) {
    expect(url).toMatch(/^https:\/\/raw\.githubusercontent\.com\/[^/]+\/[^/]+\/[0-9a-f]{40}\//);
    expect(sha256).toMatch(/^[0-9a-f]{64}$/);
  }
  expect(new Set(BATADAL_FILES.map(({ name }) => name)).size).toBe(BATADAL_FILES.length);
});
