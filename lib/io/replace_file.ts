import { createHash, randomBytes } from "node:crypto";
import { type FileHandle, open, readdir, rename, stat, unlink } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import { writeError } from "./file_error";

/** A write that goes on touches its file all the time; on another machine nothing else tells that it does. */
const STALE_MS = 24 * 60 * 60 * 1000;

/** Which of the machines that share a folder this is: `<file>.<machine>-<process>-<random>.tmp` */
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

/** Whether nobody writes a temporary file any more: its process has ended, or it has not been touched for a day. */
function isStale(suffix: string, modified: number): boolean {
  const age = Date.now() - modified;
  if (age > STALE_MS) return true;
  const [, host, process_] = /^([0-9a-f]{8})-(\d+)-[0-9a-f]{8}$/.exec(suffix) ?? [];
  if (host !== machine) return false;
  const pid = Number(process_);
  // A process of a container often has the number of the one before it.
  return pid === process.pid ? age > process.uptime() * 1000 : !isRunning(pid);
}

/** Removes what was left of writes to a file that were killed. */
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

/** Makes a rename in a directory survive a power failure. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/**
 * Writes a file under a temporary name; it is flushed to the disk before it takes its name, so that a reader sees the old
 * file or the whole new one, and a failure leaves nothing behind. What a killed write left is removed by the next one.
 *
 * @throws EvaClipError `ERR_EVACLIP_DISK_FULL` or `ERR_EVACLIP_IO`, and what `write` throws
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
    await syncDirectory(dirname(path));
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw writeError(path, error);
  }
}
