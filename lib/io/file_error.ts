import { EvaClipError } from "../errors";

/** Node's error codes that concern one file: its path, kind, size or permissions. */
const FAULTS_OF_FILES = new Set([
  ...["ENOENT", "ENOTDIR", "EISDIR", "ELOOP", "ENAMETOOLONG", "EACCES", "EPERM", "EFBIG", "EINVAL", "ENXIO"],
  ...["EOPNOTSUPP", "ERR_FS_FILE_TOO_LARGE"],
]);

/** Whether an error code concerns the file; any other (EMFILE, EIO, ENOSPC, …) is a system error. */
export function isFaultOfFile(code: string): boolean {
  return FAULTS_OF_FILES.has(code);
}

/** Maps a write error to EvaClipError: `ERR_EVACLIP_DISK_FULL` or `ERR_EVACLIP_IO`; other errors are returned as they are. */
export function writeError(path: string, error: unknown): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (error instanceof EvaClipError || code === undefined) return error;
  const full = code === "ENOSPC" || code === "EDQUOT";
  const text = full
    ? `no space left on the disk for ${path}; the incomplete file was removed`
    : `cannot write ${path}: ${message}`;
  return new EvaClipError(full ? "ERR_EVACLIP_DISK_FULL" : "ERR_EVACLIP_IO", text, { path, cause: code });
}
