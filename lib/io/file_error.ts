import { EvaClipError } from "../errors";

/** Turns a file-system error of writing into one with a code of ours. */
export function writeError(path: string, error: unknown): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (error instanceof EvaClipError || code === undefined) return error;
  const full = code === "ENOSPC" || code === "EDQUOT";
  const text = full
    ? `no space left on the disk for ${path}; nothing of it was kept`
    : `cannot write ${path}: ${message}`;
  return new EvaClipError(full ? "ERR_EVACLIP_DISK_FULL" : "ERR_EVACLIP_IO", text, { path, cause: code });
}
