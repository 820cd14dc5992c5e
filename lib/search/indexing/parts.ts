// A build that is split over processes: each writes the images of its rank into a part, and the last one joins the parts.
import { readdir, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { exists } from "../../io/model_path";
import { ExactWriter, type VectorStorage } from "../exact/exact_writer";
import { openIndexFile } from "../exact/index_file";
import type { IndexStatement, Version } from "../index_writer";

/** The share of a process: the images whose position in the data set is `rank` modulo `size`. */
export interface BuildPart {
  readonly rank: number;
  readonly size: number;
}

export const partPath = (path: string, { rank, size }: BuildPart) => `${path}.part-${rank}-of-${size}`;

/** Parts and their journals that builds of the index at `path` have left, of any number of processes. */
export async function partsOf(path: string): Promise<string[]> {
  const names = await readdir(dirname(path)).catch(() => []);
  const front = `${basename(path)}.part-`;
  const isPart = (name: string) => /^\d+-of-\d+(\.journal)?$/.test(name.slice(front.length));
  return names
    .filter((name) => name.startsWith(front) && isPart(name))
    .sort()
    .map((name) => join(dirname(path), name));
}

/** Ranks without a part of this data set yet. */
export async function missingParts(path: string, size: number, listing: string): Promise<number[]> {
  const missing: number[] = [];
  for (let rank = 0; rank < size; rank++) {
    const part = partPath(path, { rank, size });
    if (!(await exists(part))) {
      missing.push(rank);
      continue;
    }
    const index = await openIndexFile(part);
    await index.file.close();
    if (index.listing !== listing) missing.push(rank);
  }
  return missing;
}

export async function removeParts(path: string): Promise<void> {
  for (const part of await partsOf(path)) await unlink(part).catch(() => undefined);
}

/** Makes the index of the parts, with their images in the order of the data set, and removes them. */
export async function joinParts(
  path: string,
  statement: IndexStatement,
  images: readonly Version[],
  storage: VectorStorage,
): Promise<{ size: number; removed: number }> {
  await using writer = await ExactWriter.open(path, statement, { storage, more: await partsOf(path) });
  const kept: Version[] = [];
  for (const image of images) if (await writer.has(image)) kept.push(image);
  const removed = await writer.commit(kept);
  await removeParts(path);
  return { size: kept.length, removed };
}
