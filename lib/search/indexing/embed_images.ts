import { throwIfAborted } from "../../abortable";
import type { Encoder } from "../../clip/encoder";
import { availableProcessors } from "../../container_limits";
import { samplesOf } from "../../data/checked_dataset";
import type { Dataset, Sample } from "../../data/dataset";
import type { Skip } from "../../data/loader/loader_options";
import { mapInOrder, runAhead } from "../../data/loader/pipeline";
import { transformed, unlessUnusable } from "../../data/loader/sample_preparation";
import { encodeBatch } from "../../eval/evaluation";
import { sharedArray } from "../../host_tensor";
import { prepareWithSize } from "../../image/prepare";
import { CLIP_PREPROCESSING } from "../../image/preprocessing";
import type { IndexWriter, NewEntry, Version } from "../index_writer";
import { listImage } from "./listed_image";

export interface EmbedOptions {
  readonly dataset: Dataset;
  /** Folder that sources are relative to. */
  readonly root: string;
  readonly batchSize: number;
  /** Whether the image at a position of the data set is embedded here. */
  readonly isOwn: (position: number) => boolean;
  readonly onProgress: (done: number) => unknown;
  readonly onSkip: (skip: Skip) => unknown;
  readonly signal: AbortSignal | undefined;
}

/** An image of the data set and its position there. */
export interface PlacedImage extends Version {
  readonly position: number;
}

/** A sample on its way to the index: listed unless it cannot be read, with pixels if it is to be embedded. */
interface Prepared {
  readonly position: number;
  readonly listed?: PlacedImage;
  readonly fresh?: Fresh;
  readonly skip?: Skip;
}

interface Fresh {
  readonly position: number;
  readonly key: string;
  readonly entry: NewEntry;
  readonly pixels: Uint8Array;
}

async function prepareSample(
  sample: Sample,
  encoder: Encoder,
  writer: IndexWriter,
  { dataset, root, isOwn }: EmbedOptions,
): Promise<Prepared> {
  const { key, index: position } = sample;
  const found = await unlessUnusable(key, () => listImage(sample, dataset, root));
  if ("reason" in found) return { position, skip: found };
  const { image, source, version, caption, metadata } = found;
  const listed = { source, version, position };
  if (!isOwn(position) || (await writer.has(listed))) return { position, listed };
  const { imageSize, preprocessing = CLIP_PREPROCESSING } = encoder;
  const prepared = await unlessUnusable(key, () =>
    transformed(key, () => prepareWithSize(image, imageSize, preprocessing)),
  );
  if ("reason" in prepared) return { position, listed, skip: prepared };
  const { pixels, width, height } = prepared;
  const facts = { metadata: { width, height, ...metadata }, ...(caption !== undefined && { caption }) };
  return { position, listed, fresh: { position, key, entry: { source, version, ...facts }, pixels } };
}

/** What the pipeline has read since the batch before, and the images to embed. */
interface Group {
  readonly prepared: readonly Prepared[];
  readonly fresh: readonly Fresh[];
}

/** Longest run of samples without one to embed that is handled at once. */
const MOST_SAMPLES = 4096;

async function* groupsOf(
  samples: AsyncIterable<Prepared>,
  batchSize: number,
): AsyncGenerator<Group, undefined> {
  let prepared: Prepared[] = [];
  let fresh: Fresh[] = [];
  for await (const sample of samples) {
    const { fresh: own, ...rest } = sample;
    prepared.push(rest);
    if (own) fresh.push(own);
    if (fresh.length < batchSize && prepared.length < MOST_SAMPLES) continue;
    yield { prepared, fresh };
    [prepared, fresh] = [[], []];
  }
  if (prepared.length > 0) yield { prepared, fresh };
}

/**
 * Embeddings [n, E] of the images of a group. The batch is always full, repeating its first image, so that an embedding
 * does not depend on how many images there are: the bits of a GEMM may depend on its number of rows.
 */
async function embed(encoder: Encoder, fresh: readonly Fresh[], batchSize: number, signal?: AbortSignal) {
  const bytes = fresh[0]!.pixels.length;
  const images = sharedArray("u8", batchSize * bytes);
  for (let b = 0; b < batchSize; b++) images.set((fresh[b] ?? fresh[0]!).pixels, b * bytes);
  const rows = await encodeBatch(encoder, { images, size: batchSize, samples: fresh }, signal);
  return rows.subarray(0, fresh.length * encoder.embedDim);
}

/**
 * Appends the embeddings of the images that `writer` does not have; the next images are decoded meanwhile.
 * @returns the images of the data set that can be read, each source once
 */
export async function embedImages(
  encoder: Encoder,
  writer: IndexWriter,
  options: EmbedOptions,
): Promise<{ images: PlacedImage[]; embedded: number; repeated: number }> {
  const { dataset, batchSize, signal, onProgress, onSkip, isOwn } = options;
  const images = new Map<string, PlacedImage>();
  let [done, embedded, repeated] = [0, 0, 0];
  const samples = samplesOf(dataset, { seed: 0, epoch: 0, shuffle: false });
  const concurrency = Math.max(batchSize, 2 * availableProcessors());
  const prepared = mapInOrder(samples, concurrency, (sample) => {
    throwIfAborted(signal);
    return prepareSample(sample, encoder, writer, options);
  });
  for await (const group of runAhead(groupsOf(prepared, batchSize), 1)) {
    throwIfAborted(signal);
    for (const { listed, skip, position } of group.prepared) {
      if (skip && isOwn(position)) await onSkip(skip);
      if (listed && images.has(listed.source)) repeated++;
      else if (listed) images.set(listed.source, listed);
    }
    const fresh = group.fresh.filter(
      ({ entry, position }) => images.get(entry.source)!.position === position,
    );
    if (fresh.length > 0) {
      await writer.append(
        fresh.map(({ entry }) => entry),
        await embed(encoder, fresh, batchSize, signal),
      );
    }
    embedded += fresh.length;
    done += group.prepared.length;
    await onProgress(done);
  }
  return { images: [...images.values()], embedded, repeated };
}
