import { constants, type Stats } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { EvaClipError } from "../errors";
import { isFaultOfFile } from "./file_error";

const MAX_LETTERS = 300;
const SHOWN_LETTERS = 120;

/** A path for a message: only its end, which identifies the file, if it is very long. */
export function shownPath(path: string): string {
  return path.length <= MAX_LETTERS ? path : `…${path.slice(-SHOWN_LETTERS)} (${path.length} characters)`;
}

/** What is at a path instead of a regular file, such as "a socket". */
export function specialKind(
  stats: Pick<Stats, "isFile" | "isDirectory" | "isFIFO" | "isSocket">,
): string | undefined {
  if (stats.isFile()) return undefined;
  if (stats.isDirectory()) return "a folder";
  if (stats.isFIFO()) return "a named pipe (FIFO)";
  return stats.isSocket() ? "a socket" : "a device";
}

/**
 * Opens a regular file for reading, following links. Anything else is refused without opening it: a FIFO would block a
 * thread of libuv's pool forever, and opening a device can have side effects.
 *
 * @throws EvaClipError ERR_EVACLIP_DATA for a FIFO, socket, device or folder; Node's own errors otherwise
 */
export async function openRegularFile(path: string): Promise<FileHandle> {
  requireRegular(path, await stat(path));
  // If a FIFO has replaced the file since, O_NONBLOCK keeps open() from waiting for a writer.
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    requireRegular(path, await file.stat());
  } catch (error) {
    await file.close();
    throw error;
  }
  return file;
}

/** The content of a regular file; throws as `openRegularFile` does. */
export async function readRegularFile(path: string): Promise<Buffer> {
  await using file = await openRegularFile(path);
  return await file.readFile();
}

/**
 * Maps an error of opening or reading `path` to EvaClipError: ERR_EVACLIP_DATA if it concerns the file or its path,
 * ERR_EVACLIP_IO for a system error such as EMFILE; `details.cause` is Node's code.
 */
export function readError(path: string, error: unknown): EvaClipError {
  if (error instanceof EvaClipError) return error;
  const { code = "", message, syscall } = error as NodeJS.ErrnoException;
  const kind = isFaultOfFile(code) ? "ERR_EVACLIP_DATA" : "ERR_EVACLIP_IO";
  // Node's message continues with the system call and the path, which this message already has.
  const reason = message.split(`, ${syscall}`)[0]!;
  return new EvaClipError(
    kind,
    `cannot read ${shownPath(path)}: ${reason}`,
    { path, cause: code },
    { cause: error },
  );
}

function requireRegular(path: string, stats: Stats): void {
  const kind = specialKind(stats);
  if (kind === undefined) return;
  throw new EvaClipError("ERR_EVACLIP_DATA", `cannot read ${shownPath(path)}: it is ${kind}, not a file`, {
    path,
    kind,
  });
}
