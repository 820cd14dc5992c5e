import { opendir, realpath, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { EvaClipError } from "../errors";

/** Extensions of the files taken for images. */
const IMAGE_EXTENSIONS = new Set([".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".tif", ".tiff"]);

export interface FolderEntries {
  /** Names of image files, sorted. */
  readonly images: string[];
  /** Names of folders, sorted. */
  readonly folders: string[];
}

/** What a folder holds, links followed, hidden files left out. Throws ERR_EVACLIP_DATA when it cannot be read. */
export async function listFolder(path: string): Promise<FolderEntries> {
  const entries: FolderEntries = { images: [], folders: [] };
  const folder = await opendir(path).catch((error: Error) => {
    throw new EvaClipError("ERR_EVACLIP_DATA", `cannot read the folder ${path}: ${error.message}`, { path });
  });
  for await (const entry of folder) {
    if (entry.name.startsWith(".")) continue;
    const kind = entry.isSymbolicLink() ? await stat(join(path, entry.name)).catch(() => entry) : entry;
    if (kind.isDirectory()) entries.folders.push(entry.name);
    else if (kind.isFile() && IMAGE_EXTENSIONS.has(extname(entry.name).toLowerCase()))
      entries.images.push(entry.name);
  }
  entries.images.sort();
  entries.folders.sort();
  return entries;
}

/** Paths of all images under `root`, relative to it, in a fixed order. A link back to a folder above is not followed. */
export async function listImages(root: string): Promise<string[]> {
  const paths: string[] = [];
  async function visit(relative: string, above: ReadonlySet<string>): Promise<void> {
    const here = await realpath(join(root, relative)).catch(() => join(root, relative));
    if (above.has(here)) return;
    const { images, folders } = await listFolder(join(root, relative));
    for (const name of images) paths.push(join(relative, name));
    for (const name of folders) await visit(join(relative, name), new Set([...above, here]));
  }
  await visit("", new Set());
  return paths;
}
