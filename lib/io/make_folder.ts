import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { EvaClipError } from "../errors";
import { writeError } from "./file_error";

/**
 * Makes a folder and those above it, one at a time: `mkdir` with `recursive` never ends where a file system such as /proc
 * says of a folder's child that it does not exist.
 *
 * @returns the topmost folder that was made, if any
 * @throws EvaClipError `ERR_EVACLIP_IO` or `ERR_EVACLIP_DISK_FULL`
 */
export async function makeFolder(path: string): Promise<string | undefined> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => error);
  if ("isDirectory" in found) {
    if (found.isDirectory()) return undefined;
    throw new EvaClipError("ERR_EVACLIP_IO", `cannot make the folder ${path}: a file is in its place`, {
      path,
    });
  }
  if (found.code !== "ENOENT") throw writeError(path, found);
  const parent = dirname(path);
  const made = parent === path ? undefined : await makeFolder(parent);
  try {
    await mkdir(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw writeError(path, error);
    return made;
  }
  return made ?? path;
}
