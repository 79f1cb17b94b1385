import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { PinnedFile } from './pinned-files.js';

/** No file that is fetched comes near it; a server that sends more is not the one meant. */
const MAXIMUM_BYTES = 64 * 1024 * 1024;
const ATTEMPTS = 3;
const ATTEMPT_TIMEOUT_MS = 180_000;

export interface DownloadOptions {
  readonly files: readonly PinnedFile[];
  /** Folder for the files; made where it is missing. */
  readonly out: string;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

/**
 * Fetches what is not there yet. A download that broke off is continued, by the same call and by the next; a file gets its name only once its content is
 * the pinned one.
 *
 * @throws TwinwatchError FETCH_UNREACHABLE, FETCH_REFUSED, FETCH_MISMATCH
 */
export async function download({ files, out, signal, say }: DownloadOptions): Promise<void> {
  await mkdir(out, { recursive: true });
  for (const file of files) {
    const path = join(out, file.name);
    if (await refusesOrHas(path, file)) {
      say(`${path}: already there, unchanged`);
      continue;
    }
    const part = `${path}.part`;
    const bytes = await fetchWhole(file, part, signal);
    const hash = await sha256Of(part);
    if (hash !== file.sha256) {
      await rm(part, { force: true });
      throw new TwinwatchError(
        'FETCH_MISMATCH',
        `${file.url} gave a file with SHA-256 ${hash}, not ${file.sha256}. It was not kept. ` +
          'Something between here and the publisher changes it, or answers in its place: try another network.',
        { context: { url: file.url, expected: file.sha256, found: hash } },
      );
    }
    await rename(part, path);
    say(`${path}: ${bytes} bytes, SHA-256 as pinned (${file.about})`);
  }
}

/** True where the pinned file is there; a different one under its name is the user's, and never overwritten. */
async function refusesOrHas(path: string, file: PinnedFile): Promise<boolean> {
  if ((await sizeOf(path)) === 0) return false;
  const hash = await sha256Of(path);
  if (hash === file.sha256) return true;
  throw new TwinwatchError(
    'FETCH_MISMATCH',
    `${path} is there with other content (SHA-256 ${hash}) than the pinned file. Move it away, or choose another folder with --out.`,
    { context: { path, expected: file.sha256, found: hash } },
  );
}

async function fetchWhole(file: PinnedFile, part: string, signal: AbortSignal): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await fetchRest(file.url, part, AbortSignal.any([signal, AbortSignal.timeout(ATTEMPT_TIMEOUT_MS)]));
    } catch (cause) {
      signal.throwIfAborted();
      if (cause instanceof TwinwatchError) throw cause;
      if (attempt < ATTEMPTS) continue;
      const reason = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
      throw new TwinwatchError(
        'FETCH_UNREACHABLE',
        `${file.url} cannot be fetched: ${reason instanceof Error ? reason.message : String(reason)}. Connect to the internet and run the ` +
          `command again, it goes on where it stopped; or fetch the file elsewhere and put it there as ${file.name}.`,
        { context: { url: file.url }, cause, retryable: true },
      );
    }
  }
}

/** Appends what `part` lacks, from its start where the server cannot continue. Returns the file's size. */
async function fetchRest(url: string, part: string, signal: AbortSignal): Promise<number> {
  const have = await sizeOf(part);
  const response = await fetch(url, { signal, headers: have > 0 ? { range: `bytes=${have}-` } : {} });
  // 416: nothing lacks any more, or what is here is no beginning of it. The hash decides.
  if (response.status === 416) return have;
  if (!response.ok || response.body === null) {
    throw new TwinwatchError(
      'FETCH_REFUSED',
      `${url} answered ${response.status} ${response.statusText}. The publisher may have moved it, or a proxy is in the way.`,
      { context: { url, status: response.status }, retryable: response.status >= 500 },
    );
  }
  const file = await open(part, response.status === 206 ? 'a' : 'w');
  try {
    let size = response.status === 206 ? have : 0;
    for await (const chunk of response.body) {
      size += chunk.byteLength;
      if (size > MAXIMUM_BYTES) {
        throw new TwinwatchError(
          'FETCH_REFUSED',
          `${url} sends more than ${MAXIMUM_BYTES} bytes; this is not the file.`,
          {
            context: { url },
          },
        );
      }
      await file.write(chunk);
    }
    return size;
  } finally {
    await file.close();
  }
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  return hash.digest('hex');
}
