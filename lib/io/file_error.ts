import { EvaClipError } from "../errors";

/** Node's codes for what is wrong with one file, its path or its permissions. */
const FAULTS_OF_FILES = new Set([
  ...["ENOENT", "ENOTDIR", "EISDIR", "ELOOP", "ENAMETOOLONG", "EACCES", "EPERM", "EFBIG", "EINVAL", "ENXIO"],
  ...["EOPNOTSUPP", "ERR_FS_FILE_TOO_LARGE"],
]);

/** Whether a file error says something about the file; any other (EMFILE, EIO, ENOSPC, …) is trouble of the system. */
export function isFaultOfFile(code: string): boolean {
  return FAULTS_OF_FILES.has(code);
}

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
