import { createHash, randomBytes } from "node:crypto";
import { type FileHandle, open, readdir, rename, stat, unlink } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import { writeError } from "./file_error";

/** A pending write keeps modifying its file; for a writer on another machine that is the only sign of life. */
const STALE_MS = 24 * 60 * 60 * 1000;

/** Identifies this machine among those that share a folder, in `<file>.<machine>-<process>-<random>.tmp`. */
const machine = createHash("sha256").update(hostname()).digest("hex").slice(0, 8);

function temporaryName(path: string): string {
  return `${path}.${machine}-${process.pid}-${randomBytes(4).toString("hex")}.tmp`;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

/** Whether a temporary file is abandoned: its process has ended, or it has not been modified for a day. */
function isStale(suffix: string, modified: number): boolean {
  const age = Date.now() - modified;
  if (age > STALE_MS) return true;
  const [, host, process_] = /^([0-9a-f]{8})-(\d+)-[0-9a-f]{8}$/.exec(suffix) ?? [];
  if (host !== machine) return false;
  const pid = Number(process_);
  // In a container a process often has the same id as the previous one.
  return pid === process.pid ? age > process.uptime() * 1000 : !isRunning(pid);
}

/** Removes temporary files of killed writes to `path`. */
async function removeStale(path: string): Promise<void> {
  const [folder, front] = [dirname(path), `${basename(path)}.`];
  for (const name of await readdir(folder)) {
    const suffix = name.startsWith(front) && name.endsWith(".tmp") ? name.slice(front.length, -4) : undefined;
    if (suffix === undefined || !/^[0-9a-f]{8}(-\d+-[0-9a-f]{8})?$/.test(suffix)) continue;
    const temporary = join(folder, name);
    const found = await stat(temporary).catch(() => undefined);
    if (found && isStale(suffix, found.mtimeMs)) await unlink(temporary).catch(() => undefined);
  }
}

/** Makes a rename in a folder durable across a power failure. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/**
 * Replaces a file atomically: it is written under a temporary name, flushed to disk, and renamed, so that a reader sees the
 * old file or the complete new one. The temporary file is removed on failure; that of a killed process by the next write.
 *
 * @throws EvaClipError `ERR_EVACLIP_DISK_FULL` or `ERR_EVACLIP_IO`, and whatever `write` throws
 */
export async function replaceFile(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  const temporary = temporaryName(path);
  try {
    await removeStale(path);
    const file = await open(temporary, "wx");
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw writeError(path, error);
  }
}
