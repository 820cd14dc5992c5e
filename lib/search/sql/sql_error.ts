import { EvaClipError } from "../../errors";
import { corrupt } from "../../io/checkpoint_error";

/** Maps an error of SQLite to EvaClipError, by its result code. */
export function sqlError(path: string, code: string, message: string): EvaClipError {
  const details = { path, sqlite: code, problem: message };
  if (/^SQLITE_(CORRUPT|NOTADB|FORMAT)/.test(code)) return corrupt(path, `is damaged: ${message}`, details);
  if (/^SQLITE_(BUSY|LOCKED)/.test(code)) {
    const text = `${path} is being written by another process; try again when it has finished`;
    return new EvaClipError("ERR_EVACLIP_IO", text, details);
  }
  if (code === "SQLITE_FULL") {
    const text = `no space left on the disk for ${path}; the transaction was rolled back`;
    return new EvaClipError("ERR_EVACLIP_DISK_FULL", text, details);
  }
  if (/^SQLITE_(IOERR|CANTOPEN|READONLY|PERM|NOLFS)/.test(code)) {
    const text = `cannot read or write ${path}: ${message}; SQLite also needs to write ${path}-wal and -shm beside it`;
    return new EvaClipError("ERR_EVACLIP_IO", text, details);
  }
  return new EvaClipError("ERR_EVACLIP_INTERNAL", `${path}: ${message}`, details);
}
