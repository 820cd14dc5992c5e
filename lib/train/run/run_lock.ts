import { join, resolve } from "node:path";
import { LockFile } from "../../io/lock_file";

/**
 * Prevents a second run in a folder of checkpoints, which is created if it does not exist.
 * @throws EvaClipError as `LockFile.take`
 */
export async function lockRun(directory: string): Promise<LockFile> {
  const path = resolve(directory);
  return LockFile.take(join(path, "run.lock"), {
    path,
    rule: "two runs cannot share a folder of checkpoints",
  });
}
