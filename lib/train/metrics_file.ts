import { type FileHandle, open, readFile, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { EvaClipError } from "../errors";
import { writeError } from "../io/file_error";
import { makeFolder } from "../io/make_folder";
import type { TrainEvent } from "./train_events";

/** Lines kept in memory while they cannot be written; older ones are dropped, and counted. */
const MOST_PENDING = 10_000;

/**
 * A JSON-lines record of a run: one object for every step and evaluation. What cannot be written is kept and tried again
 * with what comes next: a month's run does not end for a line of its record.
 */
export class MetricsFile {
  #pending: string[] = [];
  #dropped = 0;
  #hasFailed = false;

  private constructor(
    private readonly path: string,
    /** Bytes of whole lines. */
    private length: number,
    private readonly onProblem: (message: string) => void,
  ) {}

  /**
   * Opens the file; of an earlier run it keeps what came up to `step`, so that a resumed run repeats nothing.
   * @param onProblem told once when lines cannot be written
   * @throws EvaClipError `ERR_EVACLIP_DISK_FULL` or `ERR_EVACLIP_IO`
   */
  static async open(
    path: string,
    step: number,
    onProblem: (message: string) => void = () => undefined,
  ): Promise<MetricsFile> {
    try {
      await makeFolder(dirname(path));
      const before = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return "";
        throw error;
      });
      const kept = before
        .split("\n")
        .filter((line) => isUpTo(line, step))
        .map((line) => `${line}\n`)
        .join("");
      if (kept === "") await writeFile(path, "");
      else if (kept !== before) await replace(await realpath(path), kept);
      return new MetricsFile(path, Buffer.byteLength(kept), onProblem);
    } catch (error) {
      throw writeError(path, error);
    }
  }

  /** Lines that are not in the file. */
  get unwritten(): number {
    return this.#dropped + this.#pending.length;
  }

  add(event: TrainEvent): void {
    if (event.type !== "step" && event.type !== "evaluate") return;
    this.#pending.push(`${JSON.stringify(event)}\n`);
  }

  /** Writes what was added. It never rejects. */
  async flush(): Promise<void> {
    if (this.#pending.length === 0) return;
    const lines = this.#pending;
    this.#pending = [];
    try {
      await this.#write(Buffer.from(lines.join("")));
    } catch (error) {
      this.#pending = [...lines, ...this.#pending].slice(-MOST_PENDING);
      this.#dropped += Math.max(0, lines.length - MOST_PENDING);
      if (this.#hasFailed) return;
      this.#hasFailed = true;
      const { message } = writeError(this.path, error) as Error;
      this.onProblem(`metrics are not written: ${message}; the run goes on, and the lines are tried again`);
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    const file = await this.#openForWriting();
    try {
      // Where whole lines end: over the half of one that a full disk may have left.
      const start = Math.min(this.length, (await file.stat()).size);
      for (let done = 0; done < bytes.length; ) {
        done += (await file.write(bytes, done, bytes.length - done, start + done)).bytesWritten;
      }
      this.length = start + bytes.length;
    } finally {
      await file.close();
    }
  }

  async #openForWriting(): Promise<FileHandle> {
    try {
      return await open(this.path, "r+");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      await makeFolder(dirname(this.path));
      return open(this.path, "w");
    }
  }
}

/** @throws EvaClipError `ERR_EVACLIP_RUN_EXISTS` when a file holds the metrics of another run. */
export async function expectNoMetrics(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (!found || found.size === 0) return;
  const message = `${path} holds the metrics of another run: resume that one, or choose another name`;
  throw new EvaClipError("ERR_EVACLIP_RUN_EXISTS", message, { path });
}

async function replace(path: string, text: string): Promise<void> {
  const temporary = `${path}.tmp`;
  try {
    await writeFile(temporary, text);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw error;
  }
}

/** A last line cut short by a crash is dropped with the rest. */
function isUpTo(line: string, step: number): boolean {
  if (step === 0) return false;
  try {
    return (JSON.parse(line) as { step: number }).step <= step;
  } catch {
    return false;
  }
}
