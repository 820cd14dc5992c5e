import { createHash, randomUUID } from "node:crypto";
import { stat } from "node:fs/promises";
import { basename, dirname, relative, resolve, sep } from "node:path";
import { checkContent } from "../../data/checked_dataset";
import type { Dataset, Sample } from "../../data/dataset";
import { transformed } from "../../data/loader/sample_preparation";
import { type HeldImage, holdImage } from "../../image/image_input";
import { readError } from "../../io/regular_file";
import { SampleError } from "../../sample_error";
import type { Version } from "../index_writer";
import type { MetadataValue } from "../vector_store";

/** An image of the data set, before it is decoded. */
export interface ListedImage extends Version {
  readonly key: string;
  readonly image: HeldImage;
  readonly caption: string | undefined;
  readonly metadata: Readonly<Record<string, MetadataValue>>;
}

/** The path of an image relative to `root`, or the key of one that has no path, its file relative to `root`. */
function sourceOf(key: string, image: HeldImage, root: string): string {
  if (image.kind === "path") return relativeTo(root, image.path);
  // `shard.tar#key`, `table.csv:7`, or a name that only its data set understands.
  const [, file, rest] = /^(.+?\.(?:[a-z0-9.]+))([#:].*)$/is.exec(key) ?? [];
  return file === undefined ? key : `${relativeTo(root, file)}${rest}`;
}

function relativeTo(root: string, path: string): string {
  return relative(root, resolve(path)).split(sep).join("/");
}

function hashOf(...parts: (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex").slice(0, 32);
}

/** What identifies the content of an image: size and modification time of a file, otherwise a hash of its bytes. */
async function stateOf(image: HeldImage): Promise<{ state: string; facts: Record<string, MetadataValue> }> {
  if (image.kind === "path") {
    const { path } = image;
    const found = await stat(path).catch((error: unknown) => {
      const { message, details } = readError(path, error);
      const reason = details?.cause === "ENOENT" ? "missing_file" : "unreadable_file";
      throw new SampleError(reason, message, { path }, error);
    });
    const { size, mtime, mtimeMs } = found;
    return { state: `${size} ${mtimeMs}`, facts: { size, mtime: mtime.toISOString() } };
  }
  if (image.kind === "bytes") return { state: hashOf(image.bytes), facts: { size: image.bytes.length } };
  if (image.kind === "blob") {
    const bytes = new Uint8Array(await image.blob.arrayBuffer());
    return { state: hashOf(bytes), facts: { size: bytes.length } };
  }
  if (image.kind === "pixels") return { state: hashOf(image.image.data as Uint8Array), facts: {} };
  // What a pipeline makes is not known before it runs: it is embedded again.
  return { state: randomUUID(), facts: {} };
}

/** The class of a sample: that of a folder of classes, or the folder that holds the image. */
function classOf(sample: Sample, source: string, { classes }: Dataset): Record<string, MetadataValue> {
  const named = sample.label === undefined ? undefined : classes?.[sample.label];
  const folder = source.includes("#") ? "." : dirname(source);
  if (named === undefined && folder === ".") return {};
  return { class: named ?? basename(folder) };
}

/**
 * Reads a sample without decoding its image.
 * @throws SampleError for a sample that cannot be used
 */
export async function listImage(sample: Sample, dataset: Dataset, root: string): Promise<ListedImage> {
  const content = checkContent(sample.key, await sample.read(), false);
  const image = await transformed(sample.key, () => holdImage(sample.key, content.image));
  const source = sourceOf(sample.key, image, root);
  const { state, facts } = await stateOf(image);
  const captions = content.captions.map((caption) => caption.trim()).filter((caption) => caption !== "");
  const metadata = { ...facts, ...classOf(sample, source, dataset), ...content.metadata };
  const version = hashOf(JSON.stringify([state, captions[0] ?? null, metadata]));
  return { key: sample.key, source, version, image, caption: captions[0], metadata };
}
