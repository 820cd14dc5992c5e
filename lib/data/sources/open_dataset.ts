import { abortSignal, oneOf, options as optionsOf, ownArgument, pathText } from "../../arguments";
import { throwIfAborted } from "../../abortable";
import { EvaClipError } from "../../errors";
import { annotationsOption } from "../annotations_option";
import type { Annotations, Dataset } from "../dataset";
import { entryAt, missingPathError, requireDataPath } from "./data_path";
import { type FolderDataset, openClassFolder, openImageFolder } from "./image_folder";
import { LeftOutCounts, listFolder } from "./image_files";
import { type ManifestOptions, manifestOptions, openManifest } from "./manifest";
import { listShards } from "./webdataset/shard_paths";
import { openWebDataset, type WebDatasetOptions, webDatasetOptions } from "./webdataset/webdataset";

const TYPES = ["webdataset", "csv", "folder", "class-folder"] as const;

/** Tar shards; a manifest (.csv, .tsv, .jsonl); a folder of images and captions; a folder with one subfolder per class. */
export type DatasetType = (typeof TYPES)[number];

export interface OpenDatasetOptions {
  /** Default `auto`: a manifest by its name, a folder by its contents, otherwise shards; never `class-folder`. */
  readonly type?: "auto" | DatasetType;
  /** For manifests; ignored by other types. With a `separator`, a file without a known extension is a manifest. */
  readonly manifest?: ManifestOptions;
  /** For shards; ignored by other types. */
  readonly webdataset?: WebDatasetOptions;
  /** `captions` (the default), or `all`: captions are optional, and samples have the metadata that the source has. */
  readonly annotations?: Annotations;
  readonly signal?: AbortSignal;
}

export const openDatasetOptions = optionsOf({
  type: oneOf("auto", ...TYPES).optional(),
  manifest: manifestOptions,
  webdataset: webDatasetOptions,
  annotations: annotationsOption,
  signal: abortSignal.optional(),
}).optional();

const MANIFEST = /\.(csv|tsv|jsonl|ndjson|json)(\.(gz|zst))?$/i;
const IMAGE = /\.(jpe?g|png|webp|avif|gif|tiff?|bmp)$/i;
/** Several shards: braces, or paths joined by `::` as in open_clip. */
const PATTERN = /\{.*\}|::/s;

/**
 * The type of the data set at a path: `options.type`, or detected for `auto`.
 * @throws EvaClipError `ERR_EVACLIP_DATA` for a path that is missing or not a data set
 */
export async function datasetTypeOf(path: string, options: OpenDatasetOptions = {}): Promise<DatasetType> {
  ownArgument("datasetTypeOf: path", path, pathText);
  const own = ownArgument("datasetTypeOf: options", options, openDatasetOptions) ?? {};
  return typeAt(path, own);
}

async function typeAt(path: string, options: OpenDatasetOptions): Promise<DatasetType> {
  const { type = "auto", manifest, signal } = options;
  throwIfAborted(signal);
  if (type !== "auto") return type;
  requireDataPath(path);
  const entry = await entryAt(path);
  if (entry === "directory") return folderType(path, signal);
  if (entry === "missing" && !PATTERN.test(path)) throw await missingPathError(path);
  if (MANIFEST.test(path)) return "csv";
  if (IMAGE.test(path)) {
    const message = `${path} is one image; a data set is a folder, a manifest or shards`;
    throw new EvaClipError("ERR_EVACLIP_DATA", message, { path });
  }
  return manifest?.separator === undefined ? "webdataset" : "csv";
}

/** `webdataset` if the folder contains shards and neither images nor folders. */
async function folderType(path: string, signal: AbortSignal | undefined): Promise<DatasetType> {
  if ((await listShards(path)).length === 0) return "folder";
  const { images, folders } = await listFolder(path, new LeftOutCounts(), signal);
  return images.length === 0 && folders.length === 0 ? "webdataset" : "folder";
}

/**
 * Opens the data set of any type at a path.
 *
 * @param path A manifest, a folder, one shard, a brace pattern of shards such as `train-{0000..0099}.tar`, or several
 *   joined by `::`
 * @returns The data set; `leftOut` counts the entries of a folder that are not samples.
 * @throws EvaClipError `ERR_EVACLIP_DATA`, `ERR_EVACLIP_IO` or `ERR_EVACLIP_INVALID_ARGUMENT`
 */
export async function openDataset(
  path: string,
  options: OpenDatasetOptions = {},
): Promise<Dataset & Partial<Pick<FolderDataset, "leftOut">>> {
  ownArgument("openDataset: path", path, pathText);
  const own = ownArgument("openDataset: options", options, openDatasetOptions) ?? {};
  const signal = own.signal && { signal: own.signal };
  const all = { ...(own.annotations && { annotations: own.annotations }), ...signal };
  switch (await typeAt(path, own)) {
    case "csv":
      return openManifest(path, { ...own.manifest, ...all });
    case "folder":
      return openImageFolder(path, all);
    case "class-folder":
      return openClassFolder(path, { ...signal });
    case "webdataset":
      return openWebDataset(path, { ...own.webdataset, ...all });
  }
}
