import { constants, type Stats } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { EvaClipError } from "../errors";
import { isFaultOfFile } from "./file_error";

const MOST_LETTERS = 300;
const SHOWN_LETTERS = 120;

/** A path for a message: its end, which tells files apart, when it is very long. */
export function shownPath(path: string): string {
  return path.length <= MOST_LETTERS ? path : `…${path.slice(-SHOWN_LETTERS)} (${path.length} characters)`;
}

/** What a path is when it is not a regular file, such as "a FIFO". */
export function specialKind(
  stats: Pick<Stats, "isFile" | "isDirectory" | "isFIFO" | "isSocket">,
): string | undefined {
  if (stats.isFile()) return undefined;
  if (stats.isDirectory()) return "a directory";
  if (stats.isFIFO()) return "a FIFO";
  return stats.isSocket() ? "a socket" : "a device";
}

/**
 * Opens a regular file for reading, links followed. Anything else is refused without opening it: a FIFO would block a
 * thread of libuv's pool for ever, and opening a device can have effects of its own.
 *
 * @throws EvaClipError ERR_EVACLIP_DATA for a FIFO, socket, device or directory; Node's own errors otherwise
 */
export async function openRegularFile(path: string): Promise<FileHandle> {
  requireRegular(path, await stat(path));
  // Should a FIFO have taken the file's place meanwhile, O_NONBLOCK keeps open() from waiting for a writer.
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
 * An error of opening or reading `path` as one of ours: ERR_EVACLIP_DATA where the file or its path is at fault,
 * ERR_EVACLIP_IO for trouble of the system such as EMFILE; `details.cause` is Node's code.
 */
export function readError(path: string, error: unknown): EvaClipError {
  if (error instanceof EvaClipError) return error;
  const { code = "", message, syscall } = error as NodeJS.ErrnoException;
  const kind = isFaultOfFile(code) ? "ERR_EVACLIP_DATA" : "ERR_EVACLIP_IO";
  // Node's text goes on with the call and the path, which is named already.
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
