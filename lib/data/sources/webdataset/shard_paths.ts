import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { EvaClipError } from "../../../errors";
import { readError, shownPath } from "../../../io/regular_file";
import { expandBraces } from "./brace_expansion";
import { entryAt, requireDataPath } from "../data_path";

const SHARD_NAME = /\.(tar(\.(gz|zst|zstd|bz2|xz|lz4))?|tgz|tzst|tbz2?|txz)$/i;

/** Sorted names of the shards in a folder, without subfolders. @throws EvaClipError like `readError` */
export async function listShards(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    throw readError(folder, error);
  });
  return names.filter((name) => SHARD_NAME.test(name) && !name.startsWith(".")).sort();
}

async function shardsIn(folder: string): Promise<string[]> {
  const names = await listShards(folder);
  if (names.length > 0) return names.map((name) => join(folder, name));
  const message = `there is no shard (.tar, .tar.gz, .tar.zst) in the folder ${shownPath(folder)}`;
  throw new EvaClipError("ERR_EVACLIP_DATA", message, { path: folder });
}

/** Paths of the shards of a path, a brace pattern or a folder. */
export async function shardsOf(pattern: string): Promise<string[]> {
  requireDataPath(pattern);
  if ((await entryAt(pattern)) === "directory") return shardsIn(pattern);
  const paths = expandBraces(pattern).map(async (path) => {
    const mayBeFolder = path !== pattern && !SHARD_NAME.test(path);
    return mayBeFolder && (await entryAt(path)) === "directory" ? shardsIn(path) : [path];
  });
  return (await Promise.all(paths)).flat();
}
