import { openClassFolder } from "../data/sources/image_folder";
import { describeLeftOut } from "../data/sources/image_files";
import { openDataset, type OpenDatasetOptions } from "../data/sources/open_dataset";
import type { Dataset, FolderDataset, WebDatasetOptions } from "../data";
import type { DatasetFlags } from "./dataset_flags";
import { withoutUndefined } from "./flag_values";
import { say } from "./output";

/** The options of `openDataset` from the flags. */
export function datasetOptions(flags: DatasetFlags, shards: WebDatasetOptions = {}): OpenDatasetOptions {
  const { datasetType, csvImgKey, csvCaptionKey, csvSeparator } = flags;
  const { imageKey, textKey, jsonTextKey, shuffleBuffer, damagedShards } = flags;
  const manifest = { imageKey: csvImgKey, captionKey: csvCaptionKey, separator: csvSeparator };
  const webdataset = { imageKey, textKey, jsonTextKey, shuffleBuffer, damagedShards, ...shards };
  return {
    type: datasetType,
    manifest: withoutUndefined(manifest),
    webdataset: withoutUndefined(webdataset),
  };
}

/** Reports how many entries of a folder are not samples. */
export function noteLeftOut<D extends Dataset & Partial<FolderDataset>>(path: string, dataset: D): D {
  const leftOut = describeLeftOut(dataset.leftOut ?? {});
  if (leftOut !== undefined) say(`${path}: ${leftOut}`);
  return dataset;
}

/** Opens the data set that a command was given. @throws EvaClipError as `openDataset`. */
export async function openGivenDataset(path: string, flags: DatasetFlags): Promise<Dataset> {
  return noteLeftOut(path, await openDataset(path, datasetOptions(flags)));
}

/** Opens the folder of classes that a command was given. @throws EvaClipError as `openClassFolder`. */
export async function openGivenClasses(path: string): Promise<Dataset> {
  return noteLeftOut(path, await openClassFolder(path));
}
