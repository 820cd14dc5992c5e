import { EvaClipError } from "../errors";
import { CLIP_PREPROCESSING, type Preprocessing } from "../models/preprocessing";
import { randomResizedCrop } from "./crop";
import { decodeImage, type ImageInput } from "./image";
import type { LoaderCursor } from "./loader_cursor";
import { prepareImage } from "./prepare_image";
import type { CounterRandom } from "./random";
import type { SkipReason } from "./sample_error";
import type { Tokenizer } from "./tokenizer";

/** Makes RGB [size, size, 3] of an image; every random choice must come from `random`, which is the sample's own. */
export type ImageTransform = (image: ImageInput, size: number, random: CounterRandom) => Promise<Uint8Array>;

/** A sample that was left out, and why. */
export interface Skip {
  readonly reason: SkipReason;
  readonly key: string;
  readonly message: string;
}

export interface LoaderOptions {
  readonly batchSize: number;
  /** Pixels of an image's side. */
  readonly imageSize: number;
  /** Chooses the order, the crops and the captions. Default 0. */
  readonly seed?: number;
  /** Most tokens of a caption. Default 77. */
  readonly contextLength?: number;
  /** Packed text is filled up to a multiple of this many tokens. Default 256. */
  readonly textBucket?: number;
  /** `train` (random resized crop, the default), `evaluation` (centre crop) or one's own. */
  readonly transform?: "train" | "evaluation" | ImageTransform;
  /** What the model's images go through (`model.preprocessing`), for the transforms given by name. Default CLIP's. */
  readonly preprocessing?: Preprocessing;
  /** Default CLIP's. */
  readonly tokenizer?: Tokenizer;
  /** False leaves captions out, for images alone: the batch's text is empty. */
  readonly text?: boolean;
  /** A random order and a random one of several captions (the default), or the data set's order and the first. */
  readonly shuffle?: boolean;
  /** Leaves out an epoch's last, smaller batch. Default true. */
  readonly dropLast?: boolean;
  /** Epochs to read. Default without end. */
  readonly epochs?: number;
  /** Images in flight at once. Default twice the cores. */
  readonly concurrency?: number;
  /** Batches made ready ahead. Default 2. */
  readonly prefetch?: number;
  /** Told of every sample left out, ahead of the batch that would have held it. */
  readonly onSkip?: (skip: Skip) => void;
  /** More skips than this are an error. Default 100 and 5 % of the samples read. */
  readonly maxSkips?: number;
  /** Goes on after the last batch of another loader over the same data set: its `state()`. */
  readonly cursor?: LoaderCursor;
  readonly signal?: AbortSignal;
}

export function imageTransform({
  transform = "train",
  preprocessing = CLIP_PREPROCESSING,
}: Pick<LoaderOptions, "transform" | "preprocessing">): ImageTransform {
  if (typeof transform !== "string") return transform;
  if (transform === "evaluation") return (image, size) => prepareImage(image, size, preprocessing);
  const { interpolation } = preprocessing;
  return (image, size, random) => decodeImage(image, size, randomResizedCrop(random), interpolation);
}

/** Throws ERR_EVACLIP_INVALID_ARGUMENT for a number that cannot be. */
export function checkOptions(options: LoaderOptions): void {
  const {
    batchSize,
    imageSize,
    contextLength,
    textBucket,
    concurrency,
    epochs,
    seed = 0,
    prefetch = 0,
  } = options;
  const positive = { batchSize, imageSize, contextLength, textBucket, concurrency, epochs };
  for (const [name, value] of Object.entries(positive)) {
    const isUnset = value === undefined && name !== "batchSize" && name !== "imageSize";
    if (isUnset || (name === "epochs" && value === Number.POSITIVE_INFINITY)) continue;
    if (!Number.isSafeInteger(value) || value! < 1)
      throw invalid(`${name} must be a positive integer, found ${value}`);
  }
  if (!Number.isSafeInteger(seed)) throw invalid(`seed must be an integer, found ${seed}`);
  if (!Number.isSafeInteger(prefetch) || prefetch < 0)
    throw invalid(`prefetch must be 0 or more, found ${prefetch}`);
}

function invalid(message: string): EvaClipError {
  return new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", `loader: ${message}`);
}
