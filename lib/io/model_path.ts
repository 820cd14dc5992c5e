import type { Stats } from "node:fs";
import { stat } from "node:fs/promises";
import { describeValue, invalidArgument, shortened } from "../arguments";
import { EvaClipError } from "../errors";
import { specialKind } from "./regular_file";

/** PATH_MAX of Linux: a longer string is not a path, and is shortened in messages. */
const MAX_PATH_LENGTH = 4096;

function cannotRead(path: string, error: NodeJS.ErrnoException): EvaClipError {
  const shown = path.length > MAX_PATH_LENGTH ? shortened(path) : path;
  const problems: Record<string, string> = {
    ENOENT: "it does not exist",
    ENOTDIR: "it does not exist; part of its path is a file",
    EACCES: "no permission (EACCES)",
    EPERM: "no permission (EPERM)",
  };
  const problem = problems[error.code ?? ""] ?? error.code ?? shortened(error.message);
  return new EvaClipError("ERR_EVACLIP_IO", `cannot open ${shown}: ${problem}`, {
    path: shown,
    cause: error.code,
  });
}

/**
 * The file or folder at a path, without opening it: opening a named pipe or a device may block forever.
 * @throws EvaClipError `ERR_EVACLIP_IO` when it does not exist, cannot be accessed, or is neither a file nor a folder
 */
export async function statModelPath(path: string): Promise<Stats> {
  if (typeof path !== "string")
    throw invalidArgument(`a path must be a string, found ${describeValue(path)}`);
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw cannotRead(path, error);
  });
  if (found.isFile() || found.isDirectory()) return found;
  throw notAFile(path, found);
}

function notAFile(path: string, found: Stats): EvaClipError {
  return new EvaClipError("ERR_EVACLIP_IO", `${path} is ${specialKind(found)}; expected a file`, { path });
}

/** As `statModelPath`, but refuses folders too. @throws EvaClipError `ERR_EVACLIP_IO` */
export async function statModelFile(path: string): Promise<Stats> {
  const found = await statModelPath(path);
  if (found.isFile()) return found;
  throw notAFile(path, found);
}

/** As `statModelPath`, but undefined when nothing exists at the path. @throws EvaClipError `ERR_EVACLIP_IO` */
export async function statIfThere(path: string): Promise<Stats | undefined> {
  return statModelPath(path).catch((error: EvaClipError) => {
    if (error.details?.cause === "ENOENT" || error.details?.cause === "ENOTDIR") return undefined;
    throw error;
  });
}

/** Whether there is a file or folder at a path. @throws EvaClipError `ERR_EVACLIP_IO` when that cannot be determined */
export async function exists(path: string): Promise<boolean> {
  return (await statIfThere(path)) !== undefined;
}
