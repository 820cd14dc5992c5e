import type { Stats } from "node:fs";
import { stat } from "node:fs/promises";
import { describeValue, invalidArgument, shortened } from "../arguments";
import { EvaClipError } from "../errors";

const SPECIAL_FILES: readonly (readonly [(found: Stats) => boolean, string])[] = [
  [(found) => found.isFIFO(), "a named pipe (FIFO)"],
  [(found) => found.isCharacterDevice() || found.isBlockDevice(), "a device"],
  [(found) => found.isSocket(), "a socket"],
];

/** Paths are shown whole; what is longer than any system takes is no path. */
const LONGEST_PATH = 4096;

function cannotRead(path: string, error: NodeJS.ErrnoException): EvaClipError {
  const shown = path.length > LONGEST_PATH ? shortened(path) : path;
  const problems: Record<string, string> = {
    ENOENT: "it does not exist",
    ENOTDIR: "it does not exist, a part of its path is a file",
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
 * What lies at a path, without opening it: opening a named pipe or a device may never end.
 * @throws EvaClipError `ERR_EVACLIP_IO` when there is nothing, no permission, or neither a file nor a folder
 */
export async function statModelPath(path: string): Promise<Stats> {
  if (typeof path !== "string")
    throw invalidArgument(`a path must be a string, found ${describeValue(path)}`);
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw cannotRead(path, error);
  });
  if (found.isFile() || found.isDirectory()) return found;
  const kind = SPECIAL_FILES.find(([isKind]) => isKind(found))?.[1] ?? "no file";
  throw new EvaClipError("ERR_EVACLIP_IO", `${path} is ${kind}; expected a file`, { path });
}

/** The same, where a folder is no more welcome. @throws EvaClipError `ERR_EVACLIP_IO` */
export async function statModelFile(path: string): Promise<Stats> {
  const found = await statModelPath(path);
  if (found.isFile()) return found;
  throw new EvaClipError("ERR_EVACLIP_IO", `${path} is a folder; expected a file`, { path });
}

/** The same, and undefined when there is nothing. @throws EvaClipError `ERR_EVACLIP_IO` */
export async function statIfThere(path: string): Promise<Stats | undefined> {
  return statModelPath(path).catch((error: EvaClipError) => {
    if (error.details?.cause === "ENOENT" || error.details?.cause === "ENOTDIR") return undefined;
    throw error;
  });
}
