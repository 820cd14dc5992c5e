import { opendir, realpath, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { throwIfAborted } from "../../abortable";
import { EvaClipError } from "../../errors";
import { readError } from "../../io/regular_file";

/**
 * Extensions of image files, including unsupported formats, whose files are samples that the loader skips, counts and
 * reports.
 */
const IMAGE_EXTENSIONS = new Set(
  (
    ".jpg .jpeg .jpe .jfif .png .apng .webp .avif .gif .tif .tiff .bmp .dib .ppm .pgm .pbm .pnm " +
    ".heic .heif .jxl .jp2 .j2k .tga .ico .svg .svgz .psd .exr .hdr .dds .qoi .pcx .eps"
  ).split(" "),
);

/** Why an entry of a folder is not a sample. */
export type LeftOutReason =
  | "hidden"
  | "not_an_image"
  | "caption_without_image"
  | "outside_classes"
  | "link_to_parent";

/** The number of entries of a folder that are not samples, by reason. */
export type LeftOut = Readonly<Partial<Record<LeftOutReason, number>>>;

const REASONS: Readonly<Record<LeftOutReason, string>> = {
  hidden: "hidden",
  not_an_image: "not images",
  caption_without_image: "captions without an image",
  outside_classes: "images outside the folders of classes",
  link_to_parent: "links to a parent folder",
};

/** "4 entries left out: 2 hidden, 2 not images"; undefined if there are none. */
export function describeLeftOut(leftOut: LeftOut): string | undefined {
  const counts = Object.entries(leftOut) as [LeftOutReason, number][];
  const total = counts.reduce((sum, [, count]) => sum + count, 0);
  if (total === 0) return undefined;
  const reasons = counts.map(([reason, count]) => `${count} ${REASONS[reason]}`).join(", ");
  return `${total} ${total === 1 ? "entry" : "entries"} left out: ${reasons}`;
}

/** Counts the entries that are left out. */
export class LeftOutCounts {
  readonly counts: Partial<Record<LeftOutReason, number>> = {};

  add(reason: LeftOutReason, count = 1): void {
    if (count > 0) this.counts[reason] = (this.counts[reason] ?? 0) + count;
  }
}

export interface FolderEntries {
  /** Names of image files, sorted. */
  readonly images: string[];
  /** Names of folders, sorted. */
  readonly folders: string[];
}

/** The contents of a folder. */
const withoutExtension = (name: string) => name.slice(0, name.length - extname(name).length);

/**
 * Lists the images and folders of a folder, following links. A FIFO, device or broken link named like an image is listed
 * as one; reading it fails later.
 *
 * @throws EvaClipError `ERR_EVACLIP_DATA` for a missing folder, `ERR_EVACLIP_IO` for one that cannot be read
 */
export async function listFolder(
  path: string,
  leftOut: LeftOutCounts,
  signal?: AbortSignal,
): Promise<FolderEntries> {
  const entries: FolderEntries = { images: [], folders: [] };
  const others: string[] = [];
  try {
    for await (const entry of await opendir(path)) {
      if (signal?.aborted) break;
      const kind = entry.isSymbolicLink() ? await stat(join(path, entry.name)).catch(() => entry) : entry;
      if (entry.name.startsWith(".")) leftOut.add("hidden");
      else if (kind.isDirectory()) entries.folders.push(entry.name);
      else if (IMAGE_EXTENSIONS.has(extname(entry.name).toLowerCase())) entries.images.push(entry.name);
      else others.push(entry.name);
    }
  } catch (error) {
    const { code, message } = readError(path, error);
    throw new EvaClipError(
      code,
      message.replace("cannot read", "cannot read the folder"),
      { path },
      { cause: error },
    );
  }
  throwIfAborted(signal);
  const pictured = new Set(entries.images.map(withoutExtension));
  for (const name of others) {
    if (extname(name) !== ".txt") leftOut.add("not_an_image");
    else if (!pictured.has(withoutExtension(name))) leftOut.add("caption_without_image");
  }
  entries.images.sort();
  entries.folders.sort();
  return entries;
}

/** Paths of all images under `root`, relative to it, in a fixed order. Links to a parent folder are not followed. */
export async function listImages(
  root: string,
  leftOut: LeftOutCounts,
  signal?: AbortSignal,
): Promise<string[]> {
  const paths: string[] = [];
  async function visit(relative: string, above: ReadonlySet<string>): Promise<void> {
    const here = await realpath(join(root, relative)).catch(() => join(root, relative));
    if (above.has(here)) return leftOut.add("link_to_parent");
    const { images, folders } = await listFolder(join(root, relative), leftOut, signal);
    for (const name of images) paths.push(join(relative, name));
    for (const name of folders) await visit(join(relative, name), new Set([...above, here]));
  }
  await visit("", new Set());
  return paths;
}
