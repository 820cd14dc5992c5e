import { type FileHandle, open, readdir, rename, stat, unlink, utimes } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { hasEnded, isOwnWriter, isWriter, newWriter } from "../io/file_writer";

/** A download writes to its partial file, or sets its time, more often than this; one that does not is abandoned. */
const ABANDONED_MS = 30_000;
const REFRESH_MS = 5_000;

const SUFFIX = ".incomplete";
interface Found {
  readonly path: string;
  readonly writer: string;
  readonly size: number;
  readonly born: number;
  readonly isAbandoned: boolean;
}

async function inspect(path: string, writer: string): Promise<Found | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return undefined;
  const age = Date.now() - found.mtimeMs;
  const { size, birthtimeMs: born } = found;
  return { path, writer, size, born, isAbandoned: hasEnded(writer, age) || age > ABANDONED_MS };
}

/** The partial files of a blob, the longest first. */
async function partialsOf(blob: string): Promise<Found[]> {
  const [folder, front] = [dirname(blob), `${basename(blob)}.`];
  const found: Found[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    if (!name.startsWith(front) || !name.endsWith(SUFFIX)) continue;
    const writer = name.slice(front.length, -SUFFIX.length);
    const partial = isWriter(writer) && (await inspect(join(folder, name), writer));
    if (partial) found.push(partial);
  }
  return found.sort((a, b) => b.size - a.size);
}

/**
 * The part of a blob that has been downloaded. Each process writes a file of its own, named after it, since locks do not
 * work on every shared file system. The file of a process that has ended is taken over by renaming it, which only one
 * process can do.
 */
export class PartialFile implements AsyncDisposable {
  readonly #refresh: NodeJS.Timeout;
  #isFinished = false;

  private constructor(
    readonly path: string,
    readonly file: FileHandle,
    /** Whether it began with what an earlier download left. */
    readonly isContinued: boolean,
  ) {
    this.#refresh = setInterval(() => {
      const now = new Date();
      utimes(path, now, now).catch(() => undefined);
    }, REFRESH_MS);
    this.#refresh.unref();
  }

  /**
   * Continues an abandoned download of a blob, or begins one.
   * @returns undefined while another process downloads it
   */
  static async claim(blob: string): Promise<PartialFile | undefined> {
    const path = `${blob}.${newWriter()}${SUFFIX}`;
    const others = await partialsOf(blob);
    if (others.some(({ isAbandoned }) => !isAbandoned)) return undefined;
    for (const [i, { path: other }] of others.entries()) {
      // Only the longest is continued, and it counts as in use from here on.
      if (i > 0) await unlink(other).catch(() => undefined);
      else
        await utimes(other, new Date(), new Date()).then(
          () => moved(other, path),
          () => false,
        );
    }
    const file = await open(path, "a+");
    const isContinued = (await file.stat()).size > 0;
    // Of processes that began at the same moment, all but the first give way.
    const all = (await partialsOf(blob)).filter((each) => each.path === path || !each.isAbandoned);
    const [first] = all.sort((a, b) => a.born - b.born || (a.path < b.path ? -1 : 1));
    if (first === undefined || first.path === path) return new PartialFile(path, file, isContinued);
    await file.close();
    await unlink(path);
    return undefined;
  }

  /** Deletes what this process has of a blob, such as when the disk is full. */
  static async discardOwn(blob: string): Promise<void> {
    const ours = (await partialsOf(blob)).filter(({ writer }) => isOwnWriter(writer));
    await Promise.all(ours.map(({ path }) => unlink(path).catch(() => undefined)));
  }

  /** Deletes the file. */
  async discard(): Promise<void> {
    await unlink(this.path).catch(() => undefined);
  }

  /** Makes the file the blob. @returns false if another process has taken it over */
  async finish(blob: string): Promise<boolean> {
    await this.file.sync();
    this.#isFinished = await moved(this.path, blob);
    return this.#isFinished;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#refresh);
    // An old file is free for the next download to continue, also of this process.
    if (!this.#isFinished) await this.file.utimes(0, 0).catch(() => undefined);
    await this.file.close();
  }
}

async function moved(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}
