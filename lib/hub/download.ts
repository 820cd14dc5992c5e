import { createHash, type Hash } from "node:crypto";
import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { abortable } from "../abortable";
import { EvaClipError, isEvaClipError } from "../errors";
import { writeError } from "../io/file_error";
import { inTurn } from "../io/in_turn";
import { makeFolder } from "../io/make_folder";
import { type HubRequest, hubFetch, pauseFor, RETRY_WAITS_MS, unreachable } from "./hub_fetch";
import { hubName } from "./hub_reference";
import { PartialFile } from "./partial_file";

/** A file of the hub, and what its content must be. */
export interface RemoteFile {
  readonly url: string;
  readonly size: number;
  /** SHA-256 of the content (64 digits), or git's SHA-1 of it as a blob (40 digits). */
  readonly etag: string;
}

export type OnBytes = (received: number) => unknown;

/** How often to look whether another process has finished a download. */
const POLL_MS = 250;

function hashOf({ etag, size }: RemoteFile): Hash | undefined {
  if (etag.length === 64) return createHash("sha256");
  return etag.length === 40 ? createHash("sha1").update(`blob ${size}\0`) : undefined;
}

/** The connection ended, or went silent, before the file did. */
class ConnectionCut extends Error {}

/** Bytes of a response; each part is awaited at most `silenceMs`. @throws ConnectionCut */
async function* bytesOf(response: Response, { silenceMs, signal }: HubRequest): AsyncGenerator<Uint8Array> {
  const reader = response.body!.getReader();
  try {
    for (;;) {
      let timer: NodeJS.Timeout | undefined;
      const silence = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error(`no bytes for ${silenceMs / 1000} s`)), silenceMs);
      });
      const { done, value } = await Promise.race([reader.read(), silence])
        .catch((cause: Error) => {
          signal?.throwIfAborted();
          throw new ConnectionCut(cause.message, { cause });
        })
        .finally(() => clearTimeout(timer));
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** Appends the rest of a remote file to the `have` bytes that there are of it, as far as the connection lasts. */
async function receive(
  remote: RemoteFile,
  { file }: PartialFile,
  hash: Hash | undefined,
  have: number,
  request: HubRequest,
  onBytes: OnBytes,
): Promise<void> {
  const headers: Record<string, string> = have > 0 ? { range: `bytes=${have}-` } : {};
  const response = await hubFetch(request)(remote.url, { headers });
  // A server without ranges answers 200 with the file from its beginning.
  let skip = response.status === 206 ? 0 : have;
  let position = have;
  for await (const chunk of bytesOf(response, request)) {
    const fresh = chunk.subarray(Math.min(skip, chunk.length));
    skip -= chunk.length - fresh.length;
    position += fresh.length;
    if (position > remote.size) return;
    await file.appendFile(fresh);
    hash?.update(fresh);
    await onBytes(position);
  }
  if (position < remote.size) throw new ConnectionCut("the answer ended before the file");
}

/** Hashes what there is of a file. @returns its length */
async function hashExisting({ file }: PartialFile, hash: Hash | undefined): Promise<number> {
  const { size } = await file.stat();
  if (hash && size > 0) {
    const stream = file.createReadStream({ start: 0, end: size - 1, autoClose: false });
    for await (const chunk of stream) hash.update(chunk as Buffer);
  }
  return size;
}

/** Fills a partial file, over as many connections as it takes while they bring bytes. @returns whether its content is right */
async function complete(
  remote: RemoteFile,
  partial: PartialFile,
  request: HubRequest,
  onBytes: OnBytes,
): Promise<boolean> {
  const hash = hashOf(remote);
  let have = await hashExisting(partial, hash);
  await onBytes(Math.min(have, remote.size));
  for (let failures = 0; have < remote.size; ) {
    let position = have;
    try {
      await receive(remote, partial, hash, have, request, (received) => {
        position = received;
        return onBytes(received);
      });
      break;
    } catch (error) {
      if (!(error instanceof ConnectionCut)) throw error;
      failures = position > have ? 0 : failures + 1;
      have = position;
      const wait = failures === 0 ? 0 : RETRY_WAITS_MS[failures - 1];
      if (wait === undefined) throw unreachable(error, request);
      await pauseFor(wait, request);
    }
  }
  const { size } = await partial.file.stat();
  return size === remote.size && (hash === undefined || hash.digest("hex") === remote.etag);
}

async function isThere(blob: string, size: number): Promise<boolean> {
  const found = await stat(blob).catch(() => undefined);
  return found?.isFile() === true && found.size === size;
}

/**
 * Downloads a file to `blob`, where it appears only when it is whole and has the expected content. A download that was cut or
 * given up is continued; of processes that want the same file one downloads it, and the others wait.
 * @throws EvaClipError `ERR_EVACLIP_HUB_…`, `ERR_EVACLIP_CHECKPOINT_CORRUPT` for another content than expected,
 *   `ERR_EVACLIP_IO`, `ERR_EVACLIP_DISK_FULL`
 */
export async function downloadTo(
  blob: string,
  remote: RemoteFile,
  request: HubRequest,
  onBytes: OnBytes,
): Promise<void> {
  await makeFolder(dirname(blob));
  // Calls of this process wait for each other; those of other processes are told by their partial files.
  await abortable(
    inTurn(blob, () => fill(blob, remote, request, onBytes)),
    request.signal,
  );
  await onBytes(remote.size);
}

async function fill(blob: string, remote: RemoteFile, request: HubRequest, onBytes: OnBytes): Promise<void> {
  while (!(await isThere(blob, remote.size))) {
    try {
      await using partial = await PartialFile.claim(blob);
      if (partial === undefined) await pauseFor(POLL_MS, request);
      else if (await complete(remote, partial, request, onBytes)) await partial.finish(blob);
      else {
        await partial.discard();
        // Only a download from the first byte shows that the content is wrong on the way, not what was there of it.
        if (!partial.isContinued) throw corrupt(remote, request);
      }
    } catch (error) {
      const failure = writeError(blob, error);
      if (isEvaClipError(failure, "ERR_EVACLIP_DISK_FULL")) await PartialFile.discardOwn(blob);
      throw failure;
    }
  }
}

function corrupt({ size, etag }: RemoteFile, { asked }: HubRequest): EvaClipError {
  const message =
    `${hubName(asked)} was received with another content than the hub states (${size} bytes, hash ${etag}); it was not ` +
    "kept. Try again, and check any proxy or mirror in between";
  const details = { repository: asked.repository, file: asked.file, size, etag };
  return new EvaClipError("ERR_EVACLIP_CHECKPOINT_CORRUPT", message, details);
}
