import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";
import { EvaClipError } from "../errors";
import { writeError } from "../io/file_error";
import { makeFolder } from "../io/make_folder";
import { statIfThere } from "../io/model_path";
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
      const file = await openForWriting(path);
      try {
        return new MetricsFile(path, await cutAfter(file, step), onProblem);
      } finally {
        await file.close();
      }
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
    const file = await openForWriting(this.path);
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
}

async function openForWriting(path: string): Promise<FileHandle> {
  try {
    return await open(path, "r+");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    await makeFolder(dirname(path));
    return open(path, "w+");
  }
}

/** @throws EvaClipError `ERR_EVACLIP_RUN_EXISTS` when a file holds the metrics of another run. */
export async function expectNoMetrics(path: string): Promise<void> {
  const found = await statIfThere(path);
  if (!found || found.size === 0) return;
  const message = `${path} holds the metrics of another run: resume that one, or choose another name`;
  throw new EvaClipError("ERR_EVACLIP_RUN_EXISTS", message, { path });
}

const NEWLINE = 10;
/** Bytes read at once, at least. */
const BLOCK = 65_536;

async function readAt(file: FileHandle, begin: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(bytes, done, length - done, begin + done);
    if (bytesRead === 0)
      throw new EvaClipError("ERR_EVACLIP_IO", "the metrics were cut while they were read");
    done += bytesRead;
  }
  return bytes;
}

/**
 * Cuts a file behind the last line of a step up to `step`, which is looked for from the end: a month's file is larger than
 * a string can be.
 * @returns the length that is left
 */
async function cutAfter(file: FileHandle, step: number): Promise<number> {
  const { size } = await file.stat();
  let begin = step === 0 ? 0 : size;
  /** From `begin` to the end of the line that is looked at. */
  let tail: Buffer = Buffer.alloc(0);
  while (begin > 0 || tail.length > 0) {
    const lineBegin = tail.subarray(0, -1).lastIndexOf(NEWLINE) + 1;
    if (lineBegin === 0 && begin > 0) {
      const length = Math.min(begin, Math.max(BLOCK, tail.length));
      begin -= length;
      tail = Buffer.concat([await readAt(file, begin, length), tail]);
    } else if (isUpTo(tail.subarray(lineBegin), step)) break;
    else tail = tail.subarray(0, lineBegin);
  }
  const length = begin + tail.length;
  if (length < size) await file.truncate(length);
  if (length === 0 || tail.at(-1) === NEWLINE) return length;
  await file.write("\n", length); // the line is whole but for its end
  return length + 1;
}

/** A last line cut short by a crash is dropped with the rest. */
function isUpTo(line: Buffer, step: number): boolean {
  try {
    return (JSON.parse(line.toString()) as { step: number }).step <= step;
  } catch {
    return false;
  }
}
