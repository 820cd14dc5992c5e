import { stat } from "node:fs/promises";
import {
  type Dataset,
  openClassFolder,
  openImageFolder,
  openManifest,
  openWebDataset,
  type WebDatasetOptions,
} from "../index";
import type { DatasetFlags } from "./flags";

type Kind = Exclude<DatasetFlags["datasetType"], "auto">;

const MANIFEST = /\.(csv|tsv|jsonl|ndjson)$/i;

/** A manifest by its extension, a folder by being one, and otherwise shards. */
async function kindOf(path: string): Promise<Kind> {
  if (MANIFEST.test(path)) return "csv";
  const found = await stat(path).catch(() => undefined);
  return found?.isDirectory() ? "folder" : "webdataset";
}

/** Opens the data set that a command was given. @throws EvaClipError `ERR_EVACLIP_DATA`. */
export async function openDataset(
  path: string,
  flags: DatasetFlags,
  shards: WebDatasetOptions = {},
): Promise<Dataset> {
  const kind = flags.datasetType === "auto" ? await kindOf(path) : flags.datasetType;
  const { csvImgKey, csvCaptionKey, csvSeparator } = flags;
  switch (kind) {
    case "csv":
      return openManifest(path, {
        ...(csvImgKey !== undefined && { imageKey: csvImgKey }),
        ...(csvCaptionKey !== undefined && { captionKey: csvCaptionKey }),
        ...(csvSeparator !== undefined && { separator: csvSeparator.replace("\\t", "\t") }),
      });
    case "folder":
      return openImageFolder(path);
    case "class-folder":
      return openClassFolder(path);
    case "webdataset":
      return openWebDataset(path, shards);
  }
}
