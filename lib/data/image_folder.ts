import { readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { EvaClipError } from "../errors";
import type { Dataset } from "./dataset";
import { listFolder, listImages } from "./image_files";
import { indexedDataset } from "./indexed_dataset";
import { SampleError } from "./sample_error";

function requireImages(count: number, directory: string): void {
  if (count > 0) return;
  throw new EvaClipError("ERR_EVACLIP_DATA", `there is no image in the folder ${directory}`, { directory });
}

async function readCaptions(image: string): Promise<string[]> {
  const path = `${image.slice(0, -extname(image).length)}.txt`;
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    const reason = error.code === "ENOENT" ? "missing_caption" : "unreadable_file";
    throw new SampleError(reason, `cannot read the caption of ${image}: ${error.message}`, { path }, error);
  });
  return text.split(/\r?\n/);
}

/**
 * Images anywhere under a folder, each with its captions beside it: `cat.jpg` and `cat.txt`. Every line of the text
 * file that is not blank is an alternative caption.
 *
 * @throws EvaClipError ERR_EVACLIP_DATA when the folder cannot be read or holds no image
 */
export async function openImageFolder(directory: string): Promise<Dataset> {
  const paths = await listImages(directory);
  requireImages(paths.length, directory);
  return indexedDataset({
    size: paths.length,
    at: (index) => {
      const key = paths[index]!;
      const image = join(directory, key);
      return { key, read: async () => ({ image, captions: await readCaptions(image) }) };
    },
  });
}

export interface ClassFolderOptions {
  /** Class names by folder name, such as ImageNet's n01440764 → tench; a folder not named keeps its own name. */
  readonly classNames?: Readonly<Record<string, string>>;
}

/**
 * One folder a class, as in ImageNet: `tabby_cat/1.jpg`. Classes are numbered in the order of their folders' names; a
 * sample's label is its class and its caption the class name (underscores read as spaces).
 *
 * @throws EvaClipError ERR_EVACLIP_DATA when the folder cannot be read or holds no image
 */
export async function openClassFolder(directory: string, options: ClassFolderOptions = {}): Promise<Dataset> {
  const { folders } = await listFolder(directory);
  const classes = folders.map((folder) => options.classNames?.[folder] ?? folder.replaceAll("_", " "));
  const paths: string[] = [];
  const labels: number[] = [];
  for (const [label, folder] of folders.entries()) {
    for (const path of await listImages(join(directory, folder))) {
      paths.push(join(folder, path));
      labels.push(label);
    }
  }
  requireImages(paths.length, directory);
  return indexedDataset({
    size: paths.length,
    classes,
    at: (index) => {
      const [key, label] = [paths[index]!, labels[index]!];
      return { key, label, read: async () => ({ image: join(directory, key), captions: [classes[label]!] }) };
    },
  });
}
