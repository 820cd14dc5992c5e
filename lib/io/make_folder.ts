import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { EvaClipError } from "../errors";
import { writeError } from "./file_error";

/**
 * Creates a folder and its parents, one at a time: `mkdir` with `recursive` loops forever where a file system such as
 * /proc answers ENOENT for every child of an existing folder.
 *
 * @returns the topmost folder that was created, if any
 * @throws EvaClipError `ERR_EVACLIP_IO` or `ERR_EVACLIP_DISK_FULL`
 */
export async function makeFolder(path: string): Promise<string | undefined> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => error);
  if ("isDirectory" in found) {
    if (found.isDirectory()) return undefined;
    throw new EvaClipError(
      "ERR_EVACLIP_IO",
      `cannot create the folder ${path}: there is a file of that name`,
      {
        path,
      },
    );
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
