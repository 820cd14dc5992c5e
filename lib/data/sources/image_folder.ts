import { extname, join } from "node:path";
import { z } from "zod";
import {
  abortSignal,
  checkArgument,
  options as optionsSchema,
  ownArgument,
  pathText,
  text,
} from "../../arguments";
import { throwIfAborted } from "../../abortable";
import { EvaClipError } from "../../errors";
import { annotationsOption } from "../annotations_option";
import { readError, readRegularFile } from "../../io/regular_file";
import type { Annotations, Dataset } from "../dataset";
import { type LeftOut, LeftOutCounts, listFolder, listImages } from "./image_files";
import { indexedDataset } from "./indexed_dataset";
import { decodeUtf8 } from "./parse_json";
import { SampleError } from "../../sample_error";

/** A data set of a folder's files. */
export interface FolderDataset extends Dataset {
  /** The number of entries of the folder that are not samples, by reason. */
  readonly leftOut: LeftOut;
}

function dataError(message: string, directory: string): EvaClipError {
  return new EvaClipError("ERR_EVACLIP_DATA", message, { directory });
}

async function readCaptions(image: string, annotations: Annotations): Promise<string[]> {
  const path = `${image.slice(0, -extname(image).length)}.txt`;
  try {
    const captions = decodeUtf8(await readRegularFile(path));
    if (captions !== undefined) return captions.split(/\r?\n/);
  } catch (error) {
    const failure = readError(path, error);
    if (failure.code !== "ERR_EVACLIP_DATA") throw failure;
    if (annotations === "all" && failure.details?.cause === "ENOENT") return [];
    const reason = failure.details?.cause === "ENOENT" ? "missing_caption" : "unreadable_file";
    throw new SampleError(reason, `the caption of ${image}: ${failure.message}`, { path }, error);
  }
  throw new SampleError("not_utf8", `the caption of ${image} is not UTF-8`, { path });
}

export interface ImageFolderOptions {
  /** `captions` (the default): every image needs a caption file. `all`: images without one have no captions. */
  readonly annotations?: Annotations;
  readonly signal?: AbortSignal;
}

const imageFolderOptions = optionsSchema({ annotations: annotationsOption, signal: abortSignal.optional() });

/**
 * Images in a folder and its subfolders, each with a caption file of the same name: `cat.jpg` and `cat.txt`. Every
 * nonblank line of the caption file is an alternative caption. Image files of unsupported formats, special files and
 * broken links are samples that the loader skips and counts; `leftOut` counts the entries that are not samples.
 *
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT`; `ERR_EVACLIP_DATA` if the folder is missing or contains no image;
 *   `ERR_EVACLIP_IO` if it cannot be read
 */
export async function openImageFolder(
  directory: string,
  given: ImageFolderOptions = {},
): Promise<FolderDataset> {
  checkArgument("openImageFolder: directory", directory, pathText);
  const { annotations = "captions", signal } = ownArgument(
    "openImageFolder: options",
    given,
    imageFolderOptions,
  );
  throwIfAborted(signal);
  const leftOut = new LeftOutCounts();
  const paths = await listImages(directory, leftOut, signal);
  if (paths.length === 0) throw dataError(`there is no image in the folder ${directory}`, directory);
  const dataset = indexedDataset({
    size: paths.length,
    at: (index) => {
      const key = paths[index]!;
      const image = join(directory, key);
      return { key, read: async () => ({ image, captions: await readCaptions(image, annotations) }) };
    },
  });
  return { ...dataset, leftOut: leftOut.counts };
}

const classFolderOptions = optionsSchema({
  classNames: z.record(z.string(), text, { error: "an object of class names by folder" }).optional(),
  signal: abortSignal.optional(),
});

export interface ClassFolderOptions {
  /** Class names by folder name, such as ImageNet's n01440764 → tench. Default: the folder name. */
  readonly classNames?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/**
 * One folder per class, as in ImageNet: `tabby_cat/1.jpg`. Classes are numbered in the order of the folder names; a
 * sample's label is its class index and its caption the class name (underscores become spaces). `leftOut` counts entries
 * like `openImageFolder`, and also images outside the class folders.
 *
 * @throws EvaClipError like `openImageFolder`
 */
export async function openClassFolder(
  directory: string,
  given: ClassFolderOptions = {},
): Promise<FolderDataset> {
  checkArgument("openClassFolder: directory", directory, pathText);
  const options = ownArgument("openClassFolder: options", given, classFolderOptions);
  const { signal } = options;
  throwIfAborted(signal);
  const leftOut = new LeftOutCounts();
  const { folders, images } = await listFolder(directory, leftOut, signal);
  leftOut.add("outside_classes", images.length);
  const names = new Map(Object.entries(options.classNames ?? {}));
  const classes = folders.map((folder) => names.get(folder) ?? folder.replaceAll("_", " "));
  const paths: string[] = [];
  const labels: number[] = [];
  for (const [label, folder] of folders.entries()) {
    for (const path of await listImages(join(directory, folder), leftOut, signal)) {
      paths.push(join(folder, path));
      labels.push(label);
    }
  }
  if (paths.length === 0) {
    const found = folders.length === 0 ? "no folder" : "no image in its folders";
    const message = `${directory} must contain one folder of images per class, found ${found}`;
    throw dataError(
      images.length === 0 ? message : `${message}; images outside of folders: ${images.length}`,
      directory,
    );
  }
  const dataset = indexedDataset({
    size: paths.length,
    classes,
    at: (index) => {
      const [key, label] = [paths[index]!, labels[index]!];
      return { key, label, read: async () => ({ image: join(directory, key), captions: [classes[label]!] }) };
    },
  });
  return { ...dataset, leftOut: leftOut.counts };
}
