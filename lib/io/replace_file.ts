import { type FileHandle, open, readdir, rename, stat, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { writeError } from "./file_error";
import { hasEnded, newWriter } from "./file_writer";

/** A pending write keeps modifying its file; for a writer on another machine that is the only sign of life. */
const STALE_MS = 24 * 60 * 60 * 1000;

function temporaryName(path: string): string {
  return `${path}.${newWriter()}.tmp`;
}

/** Whether a temporary file is abandoned: its process has ended, or it has not been modified for a day. */
function isStale(writer: string, modified: number): boolean {
  const age = Date.now() - modified;
  return age > STALE_MS || hasEnded(writer, age);
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
