import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";
import { EvaClipError } from "../errors";
import { writeError } from "../io/file_error";
import { makeFolder } from "../io/make_folder";
import { statIfThere } from "../io/model_path";
import type { EventSink, TrainEvent } from "./train_events";

/** Lines kept in memory while they cannot be written; older ones are dropped and counted. */
const MOST_PENDING = 10_000;

/** The events that are written. */
const WRITTEN: ReadonlySet<TrainEvent["type"]> = new Set(["step", "layers", "evaluate"]);

/**
 * A JSON-lines record of a run: one event per line. Lines that cannot be written are kept and retried with the next ones,
 * so that a write error does not end the run.
 */
export class MetricsFile implements EventSink {
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
   * Opens the file. Lines of later steps than `step` are removed, so that a resumed run repeats none.
   * @param onProblem called once, when lines cannot be written
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

  /** The number of lines that are not in the file. */
  get unwritten(): number {
    return this.#dropped + this.#pending.length;
  }

  add(event: TrainEvent): void {
    if (!WRITTEN.has(event.type)) return;
    this.#pending.push(`${JSON.stringify(event)}\n`);
  }

  /** Writes the events added. It never rejects. */
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
      this.onProblem(`metrics are not written: ${message}; the run continues, and they are retried`);
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    const file = await openForWriting(this.path);
    try {
      // After the last complete line, over a partial one that a full disk may have left.
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

/** @throws EvaClipError `ERR_EVACLIP_RUN_EXISTS` when the file has any content. */
export async function expectNoMetrics(path: string): Promise<void> {
  const found = await statIfThere(path);
  if (!found || found.size === 0) return;
  const message = `${path} holds the metrics of another run: resume that one, or choose another name`;
  throw new EvaClipError("ERR_EVACLIP_RUN_EXISTS", message, { path });
}

const NEWLINE = 10;
/** Least number of bytes per read. */
const BLOCK = 65_536;

async function readAt(file: FileHandle, begin: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(bytes, done, length - done, begin + done);
    if (bytesRead === 0)
      throw new EvaClipError("ERR_EVACLIP_IO", "the metrics file was truncated while it was read");
    done += bytesRead;
  }
  return bytes;
}

/**
 * Truncates a file after the last line of a step up to `step`. It searches from the end, because the file of a long run is
 * larger than a string can be.
 * @returns the new length
 */
async function cutAfter(file: FileHandle, step: number): Promise<number> {
  const { size } = await file.stat();
  let begin = step === 0 ? 0 : size;
  /** From `begin` to the end of the current line. */
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
  await file.write("\n", length); // only the line's newline was missing
  return length + 1;
}

/** False for a line that is not JSON, such as one cut short by a crash. */
function isUpTo(line: Buffer, step: number): boolean {
  try {
    return (JSON.parse(line.toString()) as { step: number }).step <= step;
  } catch {
    return false;
  }
}
