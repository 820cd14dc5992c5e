import { entryAt, missingPathError, requireDataPath } from "../data/sources/data_path";
import { LeftOutCounts, type LeftOutReason, listFolder } from "../data/sources/image_files";
import { listShards } from "../data/sources/webdataset/shard_paths";
import { EvaClipError } from "../index";
import {
  type Dataset,
  type FolderDataset,
  openClassFolder,
  openImageFolder,
  openManifest,
  openWebDataset,
  type WebDatasetOptions,
} from "../data";
import type { DatasetFlags } from "./flags";
import { say } from "./output";

type Kind = Exclude<DatasetFlags["datasetType"], "auto">;

const MANIFEST = /\.(csv|tsv|jsonl|ndjson|json)(\.(gz|zst))?$/i;
const IMAGE = /\.(jpe?g|png|webp|avif|gif|tiff?|bmp)$/i;
/** Several shards: braces, or names joined as in open_clip. */
const PATTERN = /\{.*\}|::/s;

/**
 * What the flags say that a path is; otherwise a manifest by its name, a folder by what it holds, or shards.
 * @throws EvaClipError `ERR_EVACLIP_DATA` for a path that is none of them
 */
export async function kindOf(path: string, flags: DatasetFlags): Promise<Kind> {
  if (flags.datasetType !== "auto") return flags.datasetType;
  requireDataPath(path);
  const entry = await entryAt(path);
  if (entry === "directory") return kindOfFolder(path);
  if (entry === "missing" && !PATTERN.test(path)) throw await missingPathError(path);
  if (MANIFEST.test(path)) return "csv";
  if (IMAGE.test(path)) {
    const message = `${path} is one image; a data set is a folder, a manifest or shards`;
    throw new EvaClipError("ERR_EVACLIP_DATA", message, { path });
  }
  return flags.csvSeparator === undefined ? "webdataset" : "csv";
}

/** Shards where there are some and no images beside them. */
async function kindOfFolder(path: string): Promise<Kind> {
  if ((await listShards(path)).length === 0) return "folder";
  const { images, folders } = await listFolder(path, new LeftOutCounts());
  return images.length === 0 && folders.length === 0 ? "webdataset" : "folder";
}

const LEFT_OUT: Readonly<Record<LeftOutReason, string>> = {
  hidden: "hidden",
  not_an_image: "not images",
  caption_without_image: "captions without an image",
  outside_classes: "images outside of the folders of classes",
  link_to_parent: "links to a folder above",
};

/** A folder's data set, after telling how many of its entries are no samples. */
async function told(path: string, opening: Promise<FolderDataset>): Promise<Dataset> {
  const dataset = await opening;
  const counts = Object.entries(dataset.leftOut) as [LeftOutReason, number][];
  const total = counts.reduce((sum, [, count]) => sum + count, 0);
  if (total > 0) {
    const reasons = counts.map(([reason, count]) => `${count} ${LEFT_OUT[reason]}`).join(", ");
    say(`${path}: ${total} ${total === 1 ? "entry" : "entries"} left out: ${reasons}`);
  }
  return dataset;
}

/** Opens a folder of classes that a command was given, as `openDataset` does. */
export function openClasses(path: string): Promise<Dataset> {
  return told(path, openClassFolder(path));
}

/** What was given, without what was not: an option left out is not an option of `undefined`. */
function given<T extends object>(options: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}

/** Opens the data set that a command was given, and tells what is left out of a folder. @throws EvaClipError `ERR_EVACLIP_DATA`. */
export async function openDataset(
  path: string,
  flags: DatasetFlags,
  shards: WebDatasetOptions = {},
): Promise<Dataset> {
  const { imageKey, textKey, jsonTextKey, shuffleBuffer, damagedShards } = flags;
  switch (await kindOf(path, flags)) {
    case "csv":
      return openManifest(
        path,
        given({
          imageKey: flags.csvImgKey,
          captionKey: flags.csvCaptionKey,
          separator: flags.csvSeparator,
        }),
      );
    case "folder":
      return told(path, openImageFolder(path));
    case "class-folder":
      return openClasses(path);
    case "webdataset":
      return openWebDataset(path, {
        ...given({ imageKey, textKey, jsonTextKey, shuffleBuffer, damagedShards }),
        ...shards,
      });
  }
}
