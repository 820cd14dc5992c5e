import { randomUUID } from "node:crypto";
import { readFileSync, readlinkSync, unlinkSync } from "node:fs";
import { link, open, readFile, rename, rmdir, stat, unlink, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, resolve } from "node:path";
import { z } from "zod";
import { EvaClipError } from "../errors";
import { writeError } from "./file_error";
import { isRunning } from "./file_writer";
import { makeFolder } from "./make_folder";

const REFRESH_MS = 10_000;
/** A lock whose owner cannot be looked up counts as abandoned after this time without a refresh. */
const ABANDONED_MS = 60_000;

const lockOwner = z.object({
  /** Identifies this lock. */
  token: z.string(),
  pid: z.number().int(),
  /** Distinguishes the process from a later one with the same id; null where the system does not report it. */
  started: z.string().nullable(),
  /** The scope of the process id: the host, and on Linux the PID namespace. */
  host: z.string(),
});
type LockOwner = z.infer<typeof lockOwner>;

/** Tokens of the locks that this thread holds. */
const held = new Set<string>();

/** When a process started, in clock ticks since boot (proc_pid_stat(5), field 22). */
function startOf(pid: number): string | null {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, "latin1");
    return line.slice(line.lastIndexOf(")") + 2).split(" ")[19] ?? null;
  } catch {
    return null;
  }
}

function thisHost(): string {
  let namespace = "";
  try {
    namespace = ` ${readlinkSync("/proc/self/ns/pid")}`;
  } catch {
    // Not Linux: only the host name.
  }
  return hostname() + namespace;
}

function mayRun({ pid, started }: LockOwner): boolean {
  if (!isRunning(pid)) return false;
  const found = startOf(pid);
  return started === null || found === null || found === started;
}

async function readOwner(path: string): Promise<LockOwner | undefined> {
  try {
    return lockOwner.parse(JSON.parse(await readFile(path, "utf8")));
  } catch {
    return undefined;
  }
}

/** Whether its owner may still hold the lock. */
async function isOwned(path: string, owner: LockOwner | undefined): Promise<boolean> {
  if (owner?.host === thisHost()) {
    if (!mayRun(owner)) return false;
    // A terminated worker thread of this process does not remove its lock.
    if (owner.pid !== process.pid || held.has(owner.token)) return true;
  }
  const found = await stat(path).catch(() => undefined);
  return found !== undefined && Date.now() - found.mtimeMs < ABANDONED_MS;
}

/** What a lock protects: a file or folder, and why two processes cannot use it at once. */
export interface Protected {
  readonly path: string;
  readonly rule: string;
}

function inUse(path: string, owner: LockOwner | undefined, what: Protected): EvaClipError {
  const who = owner === undefined ? "another process" : `process ${owner.pid} on ${owner.host.split(" ")[0]}`;
  const message =
    `${what.path} is in use by ${who}: ${what.rule}. ` +
    `If that process has certainly ended, delete ${path}`;
  return new EvaClipError("ERR_EVACLIP_RUN_ACTIVE", message, { path, ...(owner && { pid: owner.pid }) });
}

/** Removes an abandoned lock, unless another process has replaced it with its own in the meantime. */
async function removeAbandoned(path: string, owner: LockOwner | undefined): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  const taken = await readOwner(aside);
  if (taken?.token !== owner?.token) await link(aside, path).catch(() => undefined);
  await unlink(aside);
}

/** @returns false if a lock exists already */
async function writeLock(path: string, owner: LockOwner): Promise<boolean> {
  const file = await open(path, "wx").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "EEXIST") return undefined;
    throw error;
  });
  if (file === undefined) return false;
  try {
    await file.writeFile(JSON.stringify(owner)).finally(() => file.close());
    return true;
  } catch (error) {
    // A lock without an owner would block every run until it is old enough to count as abandoned.
    await unlink(path).catch(() => undefined);
    throw error;
  }
}

/** Removes a folder and its parents up to `outermost`, while they are empty. */
async function removeEmpty(folder: string, outermost: string): Promise<void> {
  if (!folder.startsWith(outermost)) return;
  const isRemoved = await rmdir(folder).then(
    () => true,
    () => false,
  );
  if (isRemoved) await removeEmpty(dirname(folder), outermost);
}

/** Keeps other processes from what it protects, by a file that names this process. */
export class LockFile implements AsyncDisposable {
  readonly #refresh: NodeJS.Timeout;
  readonly #onExit = () => {
    try {
      unlinkSync(this.path);
    } catch {
      // The next process detects that it is abandoned.
    }
  };

  private constructor(
    private readonly path: string,
    private readonly token: string,
    /** The outermost folder created for the lock. */
    private readonly made: string | undefined,
  ) {
    held.add(token);
    this.#refresh = setInterval(() => {
      const now = new Date();
      utimes(path, now, now).catch(() => undefined);
    }, REFRESH_MS);
    this.#refresh.unref();
    process.on("exit", this.#onExit);
  }

  /**
   * Takes the lock, and creates its folder if that does not exist.
   * @throws EvaClipError `ERR_EVACLIP_RUN_ACTIVE` when another process holds it, `ERR_EVACLIP_IO`, `ERR_EVACLIP_DISK_FULL`
   */
  static async take(file: string, what: Protected): Promise<LockFile> {
    const path = resolve(file);
    const owner = { token: randomUUID(), pid: process.pid, started: startOf(process.pid), host: thisHost() };
    let made: string | undefined;
    try {
      made = await makeFolder(dirname(path));
      for (let attempt = 0; attempt < 3; attempt++) {
        if (await writeLock(path, owner)) return new LockFile(path, owner.token, made);
        const other = await readOwner(path);
        if (await isOwned(path, other)) throw inUse(path, other, what);
        await removeAbandoned(path, other);
      }
      throw inUse(path, await readOwner(path), what);
    } catch (error) {
      if (made !== undefined) await removeEmpty(dirname(path), made);
      throw writeError(path, error);
    }
  }

  /** Releases the lock, and removes folders that were created for the lock and are still empty. */
  async release(): Promise<void> {
    clearInterval(this.#refresh);
    process.off("exit", this.#onExit);
    held.delete(this.token);
    if ((await readOwner(this.path))?.token !== this.token) return;
    await unlink(this.path).catch(() => undefined);
    if (this.made !== undefined) await removeEmpty(dirname(this.path), this.made);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}
