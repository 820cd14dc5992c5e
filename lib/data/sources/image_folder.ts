import { extname, join } from "node:path";
import { z } from "zod";
import { checkArgument, options as optionsSchema, ownArgument, pathText, text } from "../../arguments";
import { EvaClipError } from "../../errors";
import { readError, readRegularFile } from "../../io/regular_file";
import type { Dataset } from "../dataset";
import { type LeftOut, LeftOutCounts, listFolder, listImages } from "./image_files";
import { indexedDataset } from "./indexed_dataset";
import { decodeUtf8 } from "./parse_json";
import { SampleError } from "../../sample_error";

/** A data set of files, and what else was in their folder. */
export interface FolderDataset extends Dataset {
  /** How many entries of the folder are no samples, by reason. */
  readonly leftOut: LeftOut;
}

function dataError(message: string, directory: string): EvaClipError {
  return new EvaClipError("ERR_EVACLIP_DATA", message, { directory });
}

async function readCaptions(image: string): Promise<string[]> {
  const path = `${image.slice(0, -extname(image).length)}.txt`;
  try {
    const captions = decodeUtf8(await readRegularFile(path));
    if (captions !== undefined) return captions.split(/\r?\n/);
  } catch (error) {
    const failure = readError(path, error);
    if (failure.code !== "ERR_EVACLIP_DATA") throw failure;
    const reason = failure.details?.cause === "ENOENT" ? "missing_caption" : "unreadable_file";
    throw new SampleError(reason, `the caption of ${image}: ${failure.message}`, { path }, error);
  }
  throw new SampleError("not_utf8", `the caption of ${image} is not UTF-8`, { path });
}

/**
 * Images anywhere under a folder, each with its captions beside it: `cat.jpg` and `cat.txt`. Every line of the text
 * file that is not blank is an alternative caption. Files named like images of formats that are not read, special files
 * and broken links are samples that the loader skips and counts; `leftOut` counts what is no sample.
 *
 * @throws EvaClipError ERR_EVACLIP_INVALID_ARGUMENT; ERR_EVACLIP_DATA when the folder is missing or holds no image;
 *   ERR_EVACLIP_IO when it cannot be read
 */
export async function openImageFolder(directory: string): Promise<FolderDataset> {
  checkArgument("openImageFolder: directory", directory, pathText);
  const leftOut = new LeftOutCounts();
  const paths = await listImages(directory, leftOut);
  if (paths.length === 0) throw dataError(`there is no image in the folder ${directory}`, directory);
  const dataset = indexedDataset({
    size: paths.length,
    at: (index) => {
      const key = paths[index]!;
      const image = join(directory, key);
      return { key, read: async () => ({ image, captions: await readCaptions(image) }) };
    },
  });
  return { ...dataset, leftOut: leftOut.counts };
}

const classFolderOptions = optionsSchema({
  classNames: z.record(z.string(), text, { error: "an object of class names by folder" }).optional(),
});

export interface ClassFolderOptions {
  /** Class names by folder name, such as ImageNet's n01440764 → tench; a folder not named keeps its own name. */
  readonly classNames?: Readonly<Record<string, string>>;
}

/**
 * One folder a class, as in ImageNet: `tabby_cat/1.jpg`. Classes are numbered in the order of their folders' names; a
 * sample's label is its class and its caption the class name (underscores read as spaces). What is left out is counted
 * as `openImageFolder` does; images outside of the classes' folders are.
 *
 * @throws EvaClipError as `openImageFolder`
 */
export async function openClassFolder(
  directory: string,
  given: ClassFolderOptions = {},
): Promise<FolderDataset> {
  checkArgument("openClassFolder: directory", directory, pathText);
  const options = ownArgument("openClassFolder: options", given, classFolderOptions);
  const leftOut = new LeftOutCounts();
  const { folders, images } = await listFolder(directory, leftOut);
  leftOut.add("outside_classes", images.length);
  const names = new Map(Object.entries(options.classNames ?? {}));
  const classes = folders.map((folder) => names.get(folder) ?? folder.replaceAll("_", " "));
  const paths: string[] = [];
  const labels: number[] = [];
  for (const [label, folder] of folders.entries()) {
    for (const path of await listImages(join(directory, folder), leftOut)) {
      paths.push(join(folder, path));
      labels.push(label);
    }
  }
  if (paths.length === 0) {
    const found = folders.length === 0 ? "no folder" : "no image in its folders";
    const message = `${directory} must hold one folder of images for each class, found ${found}`;
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
